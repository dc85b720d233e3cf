//! Queries as streams, and the same in SQL that needs no streams. (CONCAT of a NULL is NULL in Flink
//! only.)

/// A query in two dialects.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Over the files.
    pub(super) stream: &'static str,
    /// Over the batch `t`, which has the time in milliseconds as `ms`.
    pub(super) batch: &'static str,
}

pub(super) const fn same(name: &'static str, query: &'static str) -> Case {
    Case { name, stream: query, batch: query }
}

pub(super) const fn case(name: &'static str, stream: &'static str, batch: &'static str) -> Case {
    Case { name, stream, batch }
}

pub(super) const CASES: &[Case] = &[
    same(
        "projection and filter",
        "SELECT id, v + 1 AS a, v * 2 - k AS b, x / 2 AS c, -d AS e FROM t
         WHERE v > 0 AND (k <> 3 OR b) AND g IS NOT NULL",
    ),
    same(
        "conditions and casts",
        "SELECT id, CASE WHEN v < 0 THEN 'low' WHEN v < 500 THEN 'mid' ELSE g END AS c,
         CAST(v AS VARCHAR) AS s, TRY_CAST(g AS BIGINT) AS n, COALESCE(k, -1) AS k,
         NULLIF(v, 7) AS z, v IS NULL AS u, g IN ('red', 'blue') AS m, v BETWEEN 0 AND 9 AS w
         FROM t",
    ),
    case(
        "scalar functions",
        "SELECT id, UPPER(g) AS a, CHAR_LENGTH(words) AS b, SUBSTRING(words, 2, 3) AS c,
         ABS(v) AS d, FLOOR(x) AS e, CONCAT(g, '/', words) AS f, TRIM(words) AS h,
         REPLACE(words, 'w', '') AS i, ROUND(x) AS j FROM t",
        "SELECT id, UPPER(g) AS a, CHAR_LENGTH(words) AS b, SUBSTRING(words, 2, 3) AS c,
         ABS(v) AS d, FLOOR(x) AS e, g || '/' || words AS f, TRIM(words) AS h,
         REPLACE(words, 'w', '') AS i, ROUND(x) AS j FROM t",
    ),
    case(
        "words",
        "SELECT id, word FROM t CROSS JOIN UNNEST(SPLIT(words, ' ')) AS u(word)",
        "SELECT id, UNNEST(STRING_TO_ARRAY(words, ' ')) AS word FROM t WHERE words IS NOT NULL",
    ),
    case(
        "word count",
        "SELECT word, COUNT(*) AS n FROM t CROSS JOIN UNNEST(SPLIT(words, ' ')) AS u(word)
         GROUP BY word",
        "SELECT word, COUNT(*) AS n FROM
         (SELECT UNNEST(STRING_TO_ARRAY(words, ' ')) AS word FROM t WHERE words IS NOT NULL)
         GROUP BY word",
    ),
    same(
        "running aggregates",
        "SELECT k, COUNT(*) AS a, COUNT(v) AS b, SUM(v) AS c, AVG(x) AS d, MIN(g) AS e,
         MAX(v) AS f, SUM(d) AS h, MIN(x) AS i, MAX(d) AS j, SUM(x) AS l FROM t GROUP BY k",
    ),
    same("one group", "SELECT COUNT(*) AS a, SUM(v) AS b, MAX(words) AS c FROM t"),
    same(
        "filtered aggregates",
        "SELECT g, COUNT(*) FILTER (WHERE v > 0) AS a, SUM(v) FILTER (WHERE b) AS c FROM t
         GROUP BY g",
    ),
    same("distinct values", "SELECT k, COUNT(DISTINCT g) AS a FROM t GROUP BY k"),
    same(
        "rarer aggregates",
        "SELECT k, STDDEV(x) AS a, BOOL_AND(b) AS c, BIT_XOR(v) AS d, MEDIAN(x) AS e,
         BOOL_OR(b) AS f, VAR_POP(x) AS h FROM t GROUP BY k",
    ),
    // Few values are exact.
    case(
        "sketches",
        "SELECT k, APPROX_COUNT_DISTINCT(g) AS a, APPROX_PERCENTILE(v, 0.5) AS b,
         CARDINALITY(APPROX_TOP_K(g, 3)) AS c FROM t GROUP BY k",
        "SELECT k, COUNT(DISTINCT g) AS a, array_element(array_agg(v ORDER BY v)
         FILTER (WHERE v IS NOT NULL), CAST(CEIL(COUNT(v) * 0.5) AS BIGINT)) AS b,
         NULLIF(LEAST(COUNT(DISTINCT g), 3), 0) AS c FROM t GROUP BY k",
    ),
    case(
        "second moments",
        "SELECT k, APPROX_F2(g) AS a FROM t GROUP BY k",
        "SELECT k, SUM(CASE WHEN g IS NULL THEN 0 ELSE n * n END) AS a FROM
         (SELECT k, g, COUNT(*) AS n FROM t GROUP BY k, g) GROUP BY k",
    ),
    same("keys of all types", "SELECT b, d, g, COUNT(*) AS n FROM t GROUP BY b, d, g"),
    same("times as keys", "SELECT ts, COUNT(*) AS n FROM t GROUP BY ts"),
    same(
        "percentiles",
        "SELECT k, percentile_cont(0.25) WITHIN GROUP (ORDER BY x) AS a,
         percentile_cont(0.1) WITHIN GROUP (ORDER BY v DESC) AS b FROM t GROUP BY k",
    ),
    case(
        "aggregates in an order",
        "SELECT k, FIRST_VALUE(id ORDER BY g) AS a, LAST_VALUE(id ORDER BY v) AS b,
         NTH_VALUE(id, 3 ORDER BY g) AS c FROM t WHERE g IS NOT NULL GROUP BY k",
        "SELECT k, FIRST_VALUE(id ORDER BY g, id) AS a,
         LAST_VALUE(id ORDER BY v NULLS FIRST, id) AS b, NTH_VALUE(id, 3 ORDER BY g, id) AS c
         FROM t WHERE g IS NOT NULL GROUP BY k",
    ),
    same("having", "SELECT k, SUM(v) AS s FROM t GROUP BY k HAVING COUNT(*) > 50"),
    same("distinct rows", "SELECT DISTINCT k, g FROM t"),
    same(
        "union",
        "SELECT id, v FROM t WHERE k = 1 UNION ALL SELECT id, k FROM t WHERE v > 100
         UNION ALL SELECT 7, 7 FROM t",
    ),
    same(
        "sub-queries",
        "SELECT w, COUNT(*) AS n FROM (SELECT v + k AS w FROM (SELECT * FROM t WHERE b) AS s) AS r
         WHERE w > 0 GROUP BY w",
    ),
    case(
        "views",
        "CREATE TEMPORARY VIEW low AS SELECT id, v FROM t WHERE v < 0; SELECT id, -v AS v FROM low",
        "SELECT id, -v AS v FROM t WHERE v < 0",
    ),
    same("order", "SELECT id, v FROM t ORDER BY v DESC NULLS LAST, id"),
    same(
        "order of what is updated",
        "SELECT k, COUNT(*) AS n FROM t GROUP BY k ORDER BY n DESC, k",
    ),
    same(
        "first rows of each key",
        "SELECT k, id, v, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC NULLS LAST, id)
         AS rn FROM t) WHERE rn <= 3",
    ),
    same(
        "ranks of what is updated",
        "SELECT g, n, rn FROM (SELECT *, RANK() OVER (ORDER BY n DESC) AS rn FROM
         (SELECT g, k, COUNT(*) AS n FROM t GROUP BY g, k)) WHERE rn BETWEEN 2 AND 9",
    ),
    same(
        "first rows of first rows",
        "SELECT k, id FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY id) AS second FROM
         (SELECT *, DENSE_RANK() OVER (PARTITION BY g ORDER BY k NULLS FIRST) AS first FROM t)
         WHERE first <= 2) WHERE second <= 9",
    ),
    same(
        "values over all rows so far",
        "SELECT id, COUNT(*) OVER w AS n, SUM(v) OVER w AS s, MAX(v) OVER w AS m FROM t
         WINDOW w AS (PARTITION BY id % 5 ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING
         AND CURRENT ROW)",
    ),
    same(
        "values over frames of time",
        "SELECT id, COUNT(*) OVER w AS n, SUM(d) OVER w AS s, MIN(g) OVER w AS m FROM t
         WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '7' SECOND PRECEDING
         AND CURRENT ROW)",
    ),
    case(
        "first row by event time",
        "SELECT k, id, g FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS rn FROM t)
         WHERE rn = 1",
        "SELECT k, id, g FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ms, id) AS rn
         FROM t) WHERE rn = 1",
    ),
    same("first rows", "SELECT id, x FROM t ORDER BY x NULLS LAST, id LIMIT 17"),
    case(
        "tumbling windows",
        "SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS s, MAX(x) AS m FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, k",
        "SELECT to_timestamp_millis(w) AS a, to_timestamp_millis(w + 10000) AS b, k,
         COUNT(*) AS n, SUM(v) AS s, MAX(x) AS m FROM (SELECT *, ms - ms % 10000 AS w FROM t)
         GROUP BY w, k",
    ),
    case(
        "tumbling windows with an offset",
        "SELECT window_start, COUNT(*) AS n FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '3' SECOND))
         GROUP BY window_start, window_end",
        "SELECT to_timestamp_millis(w) AS a, COUNT(*) AS n FROM
         (SELECT ms - (ms - 3000) % 7000 AS w FROM t) GROUP BY w",
    ),
    case(
        "windows of rows",
        "SELECT id, window_start, window_time FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
        "SELECT id, to_timestamp_millis(ms - ms % 10000) AS a,
         to_timestamp_millis(ms - ms % 10000 + 9999) AS b FROM t",
    ),
    case(
        "hopping windows",
        "SELECT window_start, g, COUNT(*) AS n, SUM(d) AS s, MIN(v) AS m, AVG(x) AS a FROM
         TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
         GROUP BY window_start, window_end, g",
        "SELECT to_timestamp_millis(w) AS a, g, COUNT(*) AS n, SUM(d) AS s, MIN(v) AS m,
         AVG(x) AS x FROM (SELECT t.*, ms - ms % 5000 - o AS w FROM t CROSS JOIN
         (VALUES (0), (5000), (10000), (15000)) AS v(o)) GROUP BY w, g",
    ),
    case(
        "cumulating windows",
        "SELECT window_start, window_end, k, b, COUNT(*) AS n FROM
         TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND))
         GROUP BY window_start, window_end, k, b",
        "SELECT to_timestamp_millis(w) AS a, to_timestamp_millis(e) AS c, k, b, COUNT(*) AS n FROM
         (SELECT t.*, ms - ms % 30000 AS w, ms - ms % 10000 + 10000 + o AS e FROM t CROSS JOIN
         (VALUES (0), (10000), (20000)) AS v(o)) WHERE e <= w + 30000 GROUP BY w, e, k, b",
    ),
    case(
        "sessions of keys",
        "SELECT window_start, window_end, k, COUNT(*) AS n, SUM(v) AS s FROM
         TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
         GROUP BY window_start, window_end, k",
        "SELECT to_timestamp_millis(MIN(ms)) AS a, to_timestamp_millis(MAX(ms) + 2000) AS b, k,
         COUNT(*) AS n, SUM(v) AS s FROM
         (SELECT *, SUM(f) OVER (PARTITION BY k ORDER BY ms, id) AS session FROM
         (SELECT *, CASE WHEN ms - LAG(ms) OVER (PARTITION BY k ORDER BY ms, id) <= 2000
          THEN 0 ELSE 1 END AS f FROM t)) GROUP BY k, session",
    ),
    case(
        "sessions",
        "SELECT window_start, window_end, COUNT(*) AS n FROM
         TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND))
         GROUP BY window_start, window_end",
        "SELECT to_timestamp_millis(MIN(ms)) AS a, to_timestamp_millis(MAX(ms) + 1000) AS b,
         COUNT(*) AS n FROM (SELECT *, SUM(f) OVER (ORDER BY ms, id) AS session FROM
         (SELECT *, CASE WHEN ms - LAG(ms) OVER (ORDER BY ms, id) <= 1000
          THEN 0 ELSE 1 END AS f FROM t)) GROUP BY session",
    ),
    case(
        "first of each window",
        "SELECT window_start, id, v, rn FROM (SELECT *, ROW_NUMBER() OVER
         (PARTITION BY window_start, window_end, k ORDER BY v DESC, id) AS rn FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE v IS NOT NULL)
         WHERE rn <= 2",
        "SELECT to_timestamp_millis(w) AS a, id, v, rn FROM (SELECT *, ROW_NUMBER() OVER
         (PARTITION BY w, k ORDER BY v DESC, id) AS rn FROM
         (SELECT *, ms - ms % 10000 AS w FROM t WHERE v IS NOT NULL)) WHERE rn <= 2",
    ),
    case(
        "first of each aggregated window",
        "CREATE TEMPORARY VIEW w AS SELECT word, ts FROM t
         CROSS JOIN UNNEST(SPLIT(words, ' ')) AS u(word);
         SELECT window_start, word, n FROM (SELECT *, ROW_NUMBER() OVER
         (PARTITION BY window_start, window_end ORDER BY n DESC, word) AS rn FROM
         (SELECT window_start, window_end, word, COUNT(*) AS n FROM
         TABLE(HOP(TABLE w, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
         GROUP BY window_start, window_end, word)) WHERE rn <= 3",
        "SELECT to_timestamp_millis(w) AS a, word, n FROM (SELECT *, ROW_NUMBER() OVER
         (PARTITION BY w ORDER BY n DESC, word) AS rn FROM
         (SELECT w, word, COUNT(*) AS n FROM (SELECT UNNEST(STRING_TO_ARRAY(words, ' ')) AS word,
          ms - ms % 10000 - o AS w FROM t CROSS JOIN (VALUES (0), (10000)) AS v(o)
          WHERE words IS NOT NULL) GROUP BY w, word)) WHERE rn <= 3",
    ),
];

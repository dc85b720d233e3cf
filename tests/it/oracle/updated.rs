//! Aggregates over inputs that are updated, distinct values and grouping sets: the same queries as
//! streams and at once.

use super::cases::Case;
use super::{run, seeds};

const fn same(name: &'static str, query: &'static str) -> Case {
    Case { name, stream: query, batch: query }
}

const CASES: &[Case] = &[
    same(
        "groups that come and go",
        "SELECT n, COUNT(*) AS c FROM (SELECT v / 50 AS w, COUNT(*) AS n FROM t GROUP BY v / 50)
         GROUP BY n",
    ),
    same(
        "aggregates of aggregates",
        "SELECT k, COUNT(*) AS a, COUNT(s) AS b, SUM(s) AS c, MIN(s) AS d, MAX(s) AS e, MIN(m) AS f,
         MAX(m) AS h, SUM(y) AS i FROM (SELECT k, v / 100 AS w, SUM(v) AS s, MAX(words) AS m,
         SUM(d) AS y FROM t GROUP BY k, v / 100) GROUP BY k",
    ),
    same(
        "frames of rows over what is updated",
        "SELECT g, w, n, SUM(n) OVER o AS a, MAX(s) OVER o AS m, AVG(y) OVER o AS y,
         COUNT(DISTINCT n) OVER o AS c, LAG(s, 2) OVER o AS l, LEAD(s) OVER o AS e FROM
         (SELECT g, v / 50 AS w, COUNT(*) AS n, SUM(v) AS s, SUM(x) AS y FROM t GROUP BY g, v / 50)
         WINDOW o AS (PARTITION BY g ORDER BY n, w NULLS FIRST
         ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
    ),
    same(
        "all rows so far of what is updated",
        "SELECT g, w, n, SUM(n) OVER o AS a, COUNT(s) OVER o AS c, RANK() OVER o AS r,
         DENSE_RANK() OVER o AS d FROM
         (SELECT g, v / 50 AS w, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY g, v / 50)
         WINDOW o AS (PARTITION BY g ORDER BY n DESC)",
    ),
    same(
        "frames of values over what is updated",
        "SELECT w, n, SUM(s) OVER o AS a, MIN(w) OVER o AS m, SUM(y) OVER o AS y FROM
         (SELECT v / 20 AS w, COUNT(*) AS n, SUM(v) AS s, SUM(x) AS y FROM t GROUP BY v / 20)
         WINDOW o AS (ORDER BY w NULLS FIRST RANGE BETWEEN 4 PRECEDING AND CURRENT ROW)",
    ),
    same(
        "values in another order than that of time",
        "SELECT id, SUM(d) OVER o AS s, MAX(words) OVER o AS m, FIRST_VALUE(id) OVER o AS f,
         ROW_NUMBER() OVER o AS r FROM t WINDOW o AS (PARTITION BY k ORDER BY v DESC NULLS LAST, id
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    ),
    same(
        "values over the pairs of an outer join",
        "SELECT a.id, SUM(b.v) OVER (PARTITION BY a.g ORDER BY a.id, b.id NULLS FIRST
         ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t a LEFT JOIN t b ON a.v = b.v",
    ),
    same(
        "filtered aggregates of aggregates",
        "SELECT k, COUNT(*) FILTER (WHERE s > 0) AS a, MAX(s) FILTER (WHERE s < 0) AS b,
         SUM(s) FILTER (WHERE n > 2) AS c FROM
         (SELECT k, v / 100 AS w, SUM(v) AS s, COUNT(*) AS n FROM t GROUP BY k, v / 100) GROUP BY k",
    ),
    same(
        "distinct values of aggregates",
        "SELECT k, COUNT(DISTINCT n) AS a, SUM(DISTINCT n) AS b, COUNT(DISTINCT m) AS c,
         COUNT(DISTINCT n) FILTER (WHERE s > 0) AS d FROM (SELECT k, v / 100 AS w, COUNT(*) AS n,
         MAX(g) AS m, SUM(v) AS s FROM t GROUP BY k, v / 100) GROUP BY k",
    ),
    same(
        "one group of aggregates",
        "SELECT COUNT(*) AS a, SUM(n) AS b, MAX(n) AS c, MIN(s) AS d, COUNT(DISTINCT n) AS e FROM
         (SELECT k, g, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY k, g)",
    ),
    Case {
        name: "second moments of aggregates",
        stream: "SELECT k, APPROX_F2(n) AS a FROM
         (SELECT k, v / 250 AS w, COUNT(*) AS n FROM t GROUP BY k, v / 250) GROUP BY k",
        batch: "SELECT k, SUM(c * c) AS a FROM (SELECT k, n, COUNT(*) AS c FROM
         (SELECT k, v / 250 AS w, COUNT(*) AS n FROM t GROUP BY k, v / 250) GROUP BY k, n) GROUP BY k",
    },
    // A stream has no row of no rows, as Flink's.
    Case {
        name: "one group that is emptied",
        stream: "SELECT COUNT(*) AS a, MAX(n) AS b FROM
         (SELECT k, COUNT(*) AS n FROM t GROUP BY k HAVING COUNT(*) < 3)",
        batch: "SELECT COUNT(*) AS a, MAX(n) AS b FROM
         (SELECT k, COUNT(*) AS n FROM t GROUP BY k HAVING COUNT(*) < 3) HAVING COUNT(*) > 0",
    },
    same(
        "distinct rows of aggregates",
        "SELECT DISTINCT n, h FROM (SELECT v / 40 AS w, COUNT(*) AS n, MAX(b) AS h FROM t
         GROUP BY v / 40)",
    ),
    same(
        "having of aggregates of aggregates",
        "SELECT n, COUNT(*) AS c FROM (SELECT v / 50 AS w, COUNT(*) AS n FROM t GROUP BY v / 50)
         GROUP BY n HAVING COUNT(*) BETWEEN 2 AND 4",
    ),
    same(
        "three levels",
        "SELECT c, SUM(n) AS s, MAX(n) AS m FROM (SELECT n, COUNT(*) AS c FROM
         (SELECT v / 40 AS w, COUNT(*) AS n FROM t GROUP BY v / 40) GROUP BY n) GROUP BY c",
    ),
    same(
        "inserted and updated rows together",
        "SELECT x, COUNT(*) AS n, MAX(y) AS m FROM (SELECT k AS x, v AS y FROM t WHERE v > 500
         UNION ALL SELECT COUNT(*) AS x, SUM(v) AS y FROM t GROUP BY g) GROUP BY x",
    ),
    same(
        "order of aggregates of aggregates",
        "SELECT n, COUNT(*) AS c FROM (SELECT v / 50 AS w, COUNT(*) AS n FROM t GROUP BY v / 50)
         GROUP BY n ORDER BY c DESC, n LIMIT 5",
    ),
    Case {
        name: "lists of aggregates",
        stream: "SELECT k, LISTAGG(CAST(n AS STRING)) AS l, FIRST_VALUE(n ORDER BY s, n) AS a,
         LAST_VALUE(n ORDER BY s, n) AS b, FIRST_VALUE(n) AS c, LAST_VALUE(n) AS e,
         PERCENTILE(n, 0.5) AS p FROM (SELECT k, v / 100 AS w, COUNT(*) AS n, SUM(v) AS s FROM t
         WHERE v IS NOT NULL GROUP BY k, v / 100) GROUP BY k",
        batch: "SELECT k, STRING_AGG(CAST(n AS VARCHAR), ',' ORDER BY CAST(n AS VARCHAR)) AS l,
         FIRST_VALUE(n ORDER BY s, n) AS a, LAST_VALUE(n ORDER BY s, n) AS b, MIN(n) AS c,
         MAX(n) AS e, PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY CAST(n AS DOUBLE)) AS p FROM
         (SELECT k, v / 100 AS w, COUNT(*) AS n, SUM(v) AS s FROM t WHERE v IS NOT NULL
         GROUP BY k, v / 100) GROUP BY k",
    },
    same(
        "rarer aggregates of aggregates",
        "SELECT k, STDDEV(y) AS a, BOOL_AND(h) AS c, BIT_XOR(n) AS d, MEDIAN(y) AS e, VAR_POP(y) AS f,
         CORR(y, z) AS i FROM (SELECT k, v / 100 AS w, COUNT(*) AS n, SUM(x) AS y, MAX(x) AS z,
         BOOL_OR(b) AS h FROM t GROUP BY k, v / 100) GROUP BY k",
    ),
    Case {
        name: "places in an order of aggregates",
        stream: "SELECT k, NTH_VALUE(n, 3 ORDER BY s, n) AS a, FIRST_VALUE(s ORDER BY n DESC, s) AS b,
         LAST_VALUE(s ORDER BY n DESC, s) AS c FROM (SELECT k, v / 100 AS w, COUNT(*) AS n,
         SUM(v) AS s FROM t GROUP BY k, v / 100) GROUP BY k",
        batch: "SELECT k, NTH_VALUE(n, 3 ORDER BY s NULLS FIRST, n) AS a,
         FIRST_VALUE(s ORDER BY n DESC, s NULLS FIRST) AS b,
         LAST_VALUE(s ORDER BY n DESC, s NULLS FIRST) AS c FROM
         (SELECT k, v / 100 AS w, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY k, v / 100) GROUP BY k",
    },
    same(
        "distinct values that share",
        "SELECT k, COUNT(*) AS n, COUNT(DISTINCT g) AS a, COUNT(DISTINCT g) FILTER (WHERE b) AS c,
         COUNT(DISTINCT v) AS d, SUM(DISTINCT v) AS e, COUNT(DISTINCT v) FILTER (WHERE x > 0) AS f,
         COUNT(DISTINCT d) AS h, COUNT(DISTINCT b) AS i, COUNT(DISTINCT x) AS j FROM t GROUP BY k",
    ),
    Case {
        name: "distinct values of windows",
        stream: "SELECT window_start, k, COUNT(DISTINCT g) AS a, COUNT(DISTINCT v) AS b,
         COUNT(DISTINCT g) FILTER (WHERE v > 0) AS c FROM
         TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND))
         GROUP BY window_start, window_end, k",
        batch: "SELECT to_timestamp_millis(w) AS a, k, COUNT(DISTINCT g) AS e, COUNT(DISTINCT v) AS h,
         COUNT(DISTINCT g) FILTER (WHERE v > 0) AS i FROM
         (SELECT t.*, ms - ms % 5000 - o AS w FROM t CROSS JOIN
         (VALUES (0), (5000), (10000), (15000)) AS v(o)) GROUP BY w, k",
    },
    Case {
        name: "distinct values of sessions",
        stream: "SELECT window_start, k, COUNT(DISTINCT g) AS n FROM
         TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))
         GROUP BY window_start, window_end, k",
        batch: "SELECT to_timestamp_millis(MIN(ms)) AS a, k, COUNT(DISTINCT g) AS n FROM
         (SELECT *, SUM(f) OVER (PARTITION BY k ORDER BY ms, id) AS session FROM
         (SELECT *, CASE WHEN ms - LAG(ms) OVER (PARTITION BY k ORDER BY ms, id) <= 2000
          THEN 0 ELSE 1 END AS f FROM t)) GROUP BY k, session",
    },
    same(
        "grouping sets",
        "SELECT k, g, b, COUNT(*) AS n, SUM(v) AS s, SUM(k) AS z, GROUPING(g) AS h,
         GROUPING(k, b) AS i FROM t GROUP BY GROUPING SETS ((k, g), (g, b), (k), (), ())",
    ),
    same(
        "rollup and cube",
        "SELECT k, g, b, COUNT(DISTINCT v) AS n, GROUPING(k, g, b) AS h FROM t
         GROUP BY ROLLUP (k), CUBE (g, b)",
    ),
    same(
        "grouping sets of aggregates",
        "SELECT n, m, COUNT(*) AS c, GROUPING(n) AS h FROM (SELECT v / 100 AS w, COUNT(*) AS n,
         MAX(g) AS m FROM t GROUP BY v / 100) GROUP BY CUBE (n, m) HAVING COUNT(*) > 1",
    ),
    Case {
        name: "grouping sets of windows",
        stream: "SELECT window_start, k, g, COUNT(*) AS n, GROUPING(k) AS h FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, ROLLUP (k, g)",
        batch: "SELECT to_timestamp_millis(w) AS a, k, g, COUNT(*) AS n, GROUPING(k) AS h FROM
         (SELECT *, ms - ms % 10000 AS w FROM t) GROUP BY w, ROLLUP (k, g)",
    },
];

/// Would fail if what was taken back stayed in an aggregate, or a value counted twice.
#[tokio::test]
async fn updated_inputs_give_the_batch_answer() {
    let mut wrong = Vec::new();
    for seed in 0..seeds(4) {
        for case in CASES {
            wrong.extend(run(case, seed * 1000 + 23).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

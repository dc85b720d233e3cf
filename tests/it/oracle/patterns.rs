//! Patterns of rows, and the same by looking at the rows around each. Times are not unique: the number of
//! a row is a second column of the order.

use super::cases::{Case, case};

/// Rows of a batch, each with the next two of its partition.
macro_rules! of_next_rows {
    ($select:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM (SELECT *, LEAD(id) OVER w AS id1, LEAD(v) OVER w AS v1, LEAD(ms) OVER w AS ms1,
             LEAD(g) OVER w AS g1, LEAD(id, 2) OVER w AS id2, LEAD(v, 2) OVER w AS v2,
             LEAD(ms, 2) OVER w AS ms2, LAG(v) OVER w AS v0
             FROM t WINDOW w AS (PARTITION BY k ORDER BY ms, id)) WHERE ",
            $condition
        )
    };
}

/// Rows of a batch for which `b` is true, each with the number of the stretch of such rows that it is in.
macro_rules! of_stretches {
    ($select:literal, $behind:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ms, id)
             - ROW_NUMBER() OVER (PARTITION BY k, b IS TRUE ORDER BY ms, id) AS stretch FROM t)
             WHERE b IS TRUE ",
            $behind
        )
    };
}

pub(super) const PATTERNS: &[Case] = &[
    case(
        "two rows",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES A.id AS a, B.id AS b, B.v - A.v AS d
         AFTER MATCH SKIP TO NEXT ROW PATTERN (A B) DEFINE A AS v > 0, B AS B.v > A.v)",
        of_next_rows!("k, id, id1, v1 - v AS d", "v > 0 AND v1 > v"),
    ),
    case(
        "three rows within a time",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES A.id AS a, C.id AS c, MATCH_ROWTIME() AS at
         AFTER MATCH SKIP TO NEXT ROW PATTERN (A B C) WITHIN INTERVAL '1' SECOND
         DEFINE B AS B.v < A.v, C AS C.v > A.v)",
        of_next_rows!(
            "k, id, id2, to_timestamp_millis(ms2) AS at",
            "v1 < v AND v2 > v AND ms2 - ms <= 1000"
        ),
    ),
    case(
        "a row between others",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES X.id AS x, PREV(X.v) AS v0, NEXT(X.v) AS v1
         PATTERN (X) DEFINE X AS v > PREV(v) AND v > NEXT(v))",
        of_next_rows!("k, id, v0, v1", "v > v0 AND v > v1"),
    ),
    case(
        "one alternative or the other",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES A.id AS a, CLASSIFIER() AS kind, LAST(id) AS l
         AFTER MATCH SKIP TO NEXT ROW PATTERN (A (B | C D))
         DEFINE B AS B.v > A.v, D AS D.v > A.v)",
        of_next_rows!(
            "k, id, CASE WHEN v1 > v THEN 'B' ELSE 'D' END AS kind, CASE WHEN v1 > v THEN id1 ELSE id2 END AS l",
            "v1 > v OR v2 > v"
        ),
    ),
    case(
        "a row that may be there",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES A.id AS a, B.id AS b, C.id AS c, COUNT(*) AS n
         AFTER MATCH SKIP TO NEXT ROW PATTERN (A B? C)
         DEFINE B AS B.g = A.g, C AS C.v > A.v)",
        of_next_rows!(
            "k, id, CASE WHEN g1 = g AND v2 > v THEN id1 END AS b,
             CASE WHEN g1 = g AND v2 > v THEN id2 ELSE id1 END AS c,
             CASE WHEN g1 = g AND v2 > v THEN 3 ELSE 2 END AS n",
            "(g1 = g AND v2 > v) OR v1 > v"
        ),
    ),
    case(
        "a row that had better not be there",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES A.id AS a, LAST(id) AS l
         AFTER MATCH SKIP TO NEXT ROW PATTERN (A B?? C) DEFINE C AS C.v > A.v)",
        of_next_rows!("k, id, CASE WHEN v1 > v THEN id1 ELSE id2 END AS l", "v1 > v OR v2 > v"),
    ),
    case(
        "stretches",
        "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES FIRST(id) AS f, LAST(id) AS l, COUNT(*) AS n, SUM(v) AS s, MIN(A.x) AS m,
         COUNT(DISTINCT g) AS d, AVG(x) AS a PATTERN (A+) DEFINE A AS b)",
        of_stretches!(
            "k, FIRST_VALUE(id ORDER BY ms, id) AS f, LAST_VALUE(id ORDER BY ms, id) AS l, COUNT(*) AS n,
             SUM(v) AS s, MIN(x) AS m, COUNT(DISTINCT g) AS d, AVG(x) AS a",
            "GROUP BY k, stretch"
        ),
    ),
    case(
        "all rows of stretches",
        "SELECT k, id, n, s, t, w FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES COUNT(*) AS n, SUM(v) AS s, FINAL COUNT(*) AS t, FINAL LAST(id) AS w
         ALL ROWS PER MATCH PATTERN (A+) DEFINE A AS b)",
        of_stretches!(
            "k, id, ROW_NUMBER() OVER s AS n, SUM(v) OVER s AS s,
             COUNT(*) OVER (PARTITION BY k, stretch) AS t, LAST_VALUE(id) OVER (PARTITION BY k, stretch
             ORDER BY ms, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS w",
            "WINDOW s AS (PARTITION BY k, stretch ORDER BY ms, id ROWS UNBOUNDED PRECEDING)"
        ),
    ),
    case(
        "a condition over the stretch so far",
        "SELECT k, id, n FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES COUNT(*) AS n ALL ROWS PER MATCH WITH UNMATCHED ROWS
         PATTERN (A B*) DEFINE A AS b, B AS b AND COUNT(*) <= 3)",
        of_stretches!(
            "k, id, (ROW_NUMBER() OVER (PARTITION BY k, stretch ORDER BY ms, id) - 1) % 3 + 1 AS n",
            "UNION ALL SELECT k, id, NULL FROM t WHERE b IS NOT TRUE"
        ),
    ),
    case(
        "numbers of stretches, of all rows together",
        "SELECT * FROM t MATCH_RECOGNIZE (ORDER BY ts, id
         MEASURES MATCH_NUMBER() AS m, COUNT(*) AS n PATTERN (A+) DEFINE A AS v > 0)",
        "SELECT ROW_NUMBER() OVER (ORDER BY f) AS m, n FROM (SELECT MIN(r) AS f, COUNT(*) AS n FROM
         (SELECT *, ROW_NUMBER() OVER (ORDER BY ms, id) AS r, ROW_NUMBER() OVER (ORDER BY ms, id)
         - ROW_NUMBER() OVER (PARTITION BY v > 0 ORDER BY ms, id) AS stretch FROM t)
         WHERE v > 0 GROUP BY stretch)",
    ),
    case(
        "windows of matches",
        "SELECT window_start, COUNT(*) AS n, MIN(d) AS d FROM TABLE(TUMBLE((SELECT * FROM t
         MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, id
         MEASURES MATCH_ROWTIME() AS at, B.v - A.v AS d AFTER MATCH SKIP TO NEXT ROW
         PATTERN (A B) WITHIN INTERVAL '2' SECOND DEFINE B AS B.v > A.v)),
         DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end",
        of_next_rows!(
            "to_timestamp_millis(ms1 - ms1 % 10000) AS w, COUNT(*) AS n, MIN(v1 - v) AS d",
            "v1 > v AND ms1 - ms <= 2000 GROUP BY ms1 - ms1 % 10000"
        ),
    ),
];

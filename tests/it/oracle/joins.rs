//! Joins, and what is one in disguise. (A row has about one in six of the keys `k`, so most cases
//! take a part of the rows only.)

use super::cases::{Case, case, same};

pub(super) const JOINS: &[Case] = &[
    same(
        "inner join",
        "SELECT a.id, c.id AS other, c.words, a.g FROM t a JOIN t c ON a.v = c.v AND a.k = c.k",
    ),
    same(
        "inner join with a condition",
        "SELECT a.id, c.id AS other FROM t a JOIN t c ON a.k = c.k AND a.v < c.v
         WHERE a.id % 20 = 3 AND c.x > 100",
    ),
    same(
        "left join",
        "SELECT a.id, c.id AS other, c.g FROM t a LEFT JOIN (SELECT * FROM t WHERE b) c
         ON a.v = c.v",
    ),
    same(
        "left join with a condition",
        "SELECT a.id, c.id AS other FROM t a LEFT JOIN t c ON a.k = c.k AND a.v + 900 < c.v
         WHERE a.id % 5 = 1",
    ),
    same(
        "right join",
        "SELECT a.id, c.id AS other, c.d FROM (SELECT * FROM t WHERE v > 0) a RIGHT JOIN t c
         ON a.v = c.v AND a.g = c.g",
    ),
    same(
        "full join",
        "SELECT a.id, c.id AS other, a.d, c.b FROM (SELECT * FROM t WHERE v > 0) a
         FULL JOIN (SELECT * FROM t WHERE v < 500) c ON a.v = c.v AND a.x < c.x",
    ),
    same(
        "join without keys",
        "SELECT a.id, c.id AS other FROM (SELECT * FROM t WHERE id % 40 = 0) a,
         (SELECT * FROM t WHERE id % 50 = 0) c WHERE a.v < c.v",
    ),
    same(
        "join of three",
        "SELECT a.id, c.id AS c, e.id AS e FROM t a JOIN t c ON a.v = c.v
         LEFT JOIN (SELECT * FROM t WHERE id % 3 = 0) e ON c.v = e.v AND e.id <> a.id",
    ),
    same(
        "join of what is updated",
        "SELECT t.id, s.n FROM t JOIN (SELECT k, COUNT(*) AS n FROM t GROUP BY k) s ON t.k = s.k
         WHERE t.id % 7 = 0",
    ),
    same(
        "left join of two that are updated",
        "SELECT a.k, a.n, c.m FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) a
         LEFT JOIN (SELECT v % 9 AS r, MAX(id) AS m FROM t WHERE v > 0 GROUP BY v % 9) c
         ON a.k = c.r",
    ),
    same(
        "full join of two that are updated",
        "SELECT a.v, a.n, c.m FROM (SELECT v, COUNT(*) AS n FROM t WHERE b GROUP BY v) a
         FULL JOIN (SELECT v, COUNT(*) AS m FROM t WHERE NOT b GROUP BY v) c
         ON a.v = c.v AND a.n >= c.m",
    ),
    same("semi join", "SELECT id, g FROM t WHERE v IN (SELECT -v FROM t WHERE k > 2)"),
    same(
        "anti join",
        "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM t c WHERE c.v = -t.v AND c.k > t.k)",
    ),
    same(
        "semi join with a condition",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t c WHERE c.v = t.v AND c.x < t.x)",
    ),
    same(
        "semi join of what is updated",
        "SELECT id FROM t WHERE v IN (SELECT n FROM (SELECT g, COUNT(*) AS n FROM t GROUP BY g))",
    ),
    same("not in", "SELECT id FROM t WHERE v NOT IN (SELECT v FROM t WHERE id % 9 = 0 AND v > 9)"),
    same("not in with null", "SELECT id FROM t WHERE v NOT IN (SELECT k FROM t)"),
    same("in next to or", "SELECT id FROM t WHERE v < -900 OR v IN (SELECT -v FROM t WHERE k = 4)"),
    same("scalar sub-query", "SELECT id FROM t WHERE v > (SELECT MAX(v) - 100 FROM t WHERE b)"),
    same(
        "correlated scalar sub-query",
        "SELECT id, (SELECT MAX(c.id) FROM t c WHERE c.v = t.v) AS m FROM t WHERE id % 3 = 0",
    ),
    same("intersect", "SELECT k, g FROM t WHERE b INTERSECT SELECT k, g FROM t WHERE v > 500"),
    same("except", "SELECT k, v FROM t EXCEPT SELECT k, v FROM t WHERE b"),
    case(
        "intersect all",
        "SELECT k, g FROM t WHERE b INTERSECT ALL SELECT k, g FROM t WHERE v > 500",
        "SELECT k, g FROM (SELECT k, g, ROW_NUMBER() OVER (PARTITION BY k, g) AS n FROM t WHERE b
         INTERSECT SELECT k, g, ROW_NUMBER() OVER (PARTITION BY k, g) AS n FROM t WHERE v > 500)",
    ),
    case(
        "except all",
        "SELECT k, g FROM t WHERE b EXCEPT ALL SELECT k, g FROM t WHERE v > 500",
        "SELECT k, g FROM (SELECT k, g, ROW_NUMBER() OVER (PARTITION BY k, g) AS n FROM t WHERE b
         EXCEPT SELECT k, g, ROW_NUMBER() OVER (PARTITION BY k, g) AS n FROM t WHERE v > 500)",
    ),
    case(
        "interval join",
        "SELECT a.id, c.id AS other FROM t a JOIN t c ON a.k = c.k AND a.ts BETWEEN
         c.ts - INTERVAL '2' SECOND AND c.ts + INTERVAL '0.5' SECOND",
        "SELECT a.id, c.id AS other FROM t a JOIN t c ON a.k = c.k AND a.ms BETWEEN
         c.ms - 2000 AND c.ms + 500",
    ),
    case(
        "outer interval join",
        "SELECT a.id, c.id AS other FROM t a FULL JOIN (SELECT * FROM t WHERE b) c ON a.v = c.v
         AND a.ts >= c.ts - INTERVAL '10' SECOND AND a.ts < c.ts + INTERVAL '1' SECOND",
        "SELECT a.id, c.id AS other FROM t a FULL JOIN (SELECT * FROM t WHERE b) c ON a.v = c.v
         AND a.ms >= c.ms - 10000 AND a.ms < c.ms + 1000",
    ),
    case(
        "windows over an interval join",
        "CREATE TEMPORARY VIEW j AS SELECT a.ts FROM t a JOIN t c ON a.k = c.k AND
         a.ts BETWEEN c.ts - INTERVAL '2' SECOND AND c.ts + INTERVAL '1' SECOND;
         SELECT window_start, COUNT(*) AS n FROM
         TABLE(TUMBLE(TABLE j, DESCRIPTOR(ts), INTERVAL '5' SECOND))
         GROUP BY window_start, window_end",
        "SELECT to_timestamp_millis(w) AS w, COUNT(*) AS n FROM (SELECT a.ms - a.ms % 5000 AS w
         FROM t a JOIN t c ON a.k = c.k AND a.ms BETWEEN c.ms - 2000 AND c.ms + 1000) GROUP BY w",
    ),
    case(
        "window join",
        "SELECT a.id, c.id AS other, a.window_end FROM
         (SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND))) a JOIN
         (SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND)) WHERE b) c
         ON a.window_start = c.window_start AND a.window_end = c.window_end AND a.k = c.k",
        "SELECT a.id, c.id AS other, to_timestamp_millis(a.w + 3000) AS e FROM
         (SELECT *, ms - ms % 3000 AS w FROM t) a JOIN
         (SELECT *, ms - ms % 3000 AS w FROM t WHERE b) c ON a.w = c.w AND a.k = c.k",
    ),
    case(
        "join of sessions",
        "CREATE TEMPORARY VIEW s AS SELECT k, id, window_start, window_end FROM
         TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND));
         SELECT a.id, c.id AS other, a.window_start, a.window_end FROM s a JOIN s c
         ON a.k = c.k AND a.window_start = c.window_start AND a.window_end = c.window_end
         WHERE c.id % 10 = 0",
        "WITH s AS (SELECT *, MIN(ms) OVER (PARTITION BY k, session) AS s,
         MAX(ms) OVER (PARTITION BY k, session) + 2000 AS e FROM
         (SELECT *, SUM(f) OVER (PARTITION BY k ORDER BY ms, id) AS session FROM
         (SELECT *, CASE WHEN ms - LAG(ms) OVER (PARTITION BY k ORDER BY ms, id) <= 2000
          THEN 0 ELSE 1 END AS f FROM t)))
         SELECT a.id, c.id AS other, to_timestamp_millis(a.s) AS s, to_timestamp_millis(a.e) AS e
         FROM s a JOIN s c ON a.k = c.k AND a.s = c.s AND a.e = c.e WHERE c.id % 10 = 0",
    ),
    case(
        "anti join per window",
        "SELECT id, window_start FROM
         TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) a
         WHERE NOT EXISTS (SELECT 1 FROM
         TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) c
         WHERE a.window_start = c.window_start AND a.window_end = c.window_end AND a.v < c.v)",
        "SELECT id, to_timestamp_millis(w) AS w FROM (SELECT t.*, ms - ms % 5000 - o AS w
         FROM t CROSS JOIN (VALUES (0), (5000)) AS v(o)) a WHERE NOT EXISTS (SELECT 1 FROM
         (SELECT t.*, ms - ms % 5000 - o AS w FROM t CROSS JOIN (VALUES (0), (5000)) AS v(o)) c
         WHERE a.w = c.w AND a.v < c.v)",
    ),
    case(
        "greatest counts per window",
        "CREATE TEMPORARY VIEW n AS SELECT k, COUNT(*) AS n, window_start AS s, window_end AS e
         FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '8' SECOND))
         GROUP BY k, window_start, window_end;
         SELECT a.k, a.n, a.s FROM n a JOIN (SELECT MAX(n) AS m, s, e FROM n GROUP BY s, e) c
         ON a.s = c.s AND a.e = c.e AND a.n >= c.m",
        "WITH n AS (SELECT k, COUNT(*) AS n, w FROM (SELECT t.*, ms - ms % 4000 - o AS w FROM t
         CROSS JOIN (VALUES (0), (4000)) AS v(o)) GROUP BY k, w)
         SELECT a.k, a.n, to_timestamp_millis(a.w) AS w FROM n a JOIN
         (SELECT MAX(n) AS m, w FROM n GROUP BY w) c ON a.w = c.w AND a.n >= c.m",
    ),
    case(
        "versions by event time",
        "CREATE TEMPORARY VIEW c AS SELECT k, id, g, ts FROM t WHERE id % 3 = 0;
         SELECT a.id, c.id AS other, c.g FROM t a LEFT JOIN c FOR SYSTEM_TIME AS OF a.ts
         ON a.k = c.k",
        "SELECT id, other, g FROM (SELECT a.id, c.id AS other, c.g,
         ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY c.ms DESC, c.id DESC) AS rn FROM t a
         LEFT JOIN (SELECT * FROM t WHERE id % 3 = 0) c ON a.k = c.k AND c.ms <= a.ms) WHERE rn = 1",
    ),
    case(
        "versions by event time, with a condition",
        "SELECT a.id, c.id AS other FROM t a JOIN t FOR SYSTEM_TIME AS OF a.ts AS c
         ON a.v = c.k AND c.b",
        "SELECT id, other FROM (SELECT a.id, c.id AS other, c.b,
         ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY c.ms DESC, c.id DESC) AS rn FROM t a
         JOIN t c ON a.v = c.k AND c.ms <= a.ms) WHERE rn = 1 AND b",
    ),
    case(
        "versions of a view that deduplicates",
        "CREATE TEMPORARY VIEW c AS SELECT k, id, g, ts FROM (SELECT *, ROW_NUMBER() OVER
         (PARTITION BY k ORDER BY ts DESC) AS rn FROM t WHERE id % 3 = 0) WHERE rn = 1;
         SELECT a.id, c.id AS other, c.g FROM t a LEFT JOIN c FOR SYSTEM_TIME AS OF a.ts
         ON a.k = c.k",
        "SELECT id, other, g FROM (SELECT a.id, c.id AS other, c.g,
         ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY c.ms DESC, c.id) AS rn FROM t a
         LEFT JOIN (SELECT * FROM t WHERE id % 3 = 0) c ON a.k = c.k AND c.ms <= a.ms) WHERE rn = 1",
    ),
    case(
        "versions of a view, one more column compared",
        "CREATE TEMPORARY VIEW c AS SELECT k, id, b, ts FROM (SELECT *, ROW_NUMBER() OVER
         (PARTITION BY k ORDER BY ts DESC) AS rn FROM t) WHERE rn = 1;
         SELECT a.id, c.id AS other FROM t a JOIN c FOR SYSTEM_TIME AS OF a.ts
         ON a.v % 6 = c.k AND a.b = c.b",
        "SELECT id, other FROM (SELECT a.id, a.b, c.id AS other, c.b AS cb,
         ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY c.ms DESC, c.id) AS rn FROM t a
         JOIN t c ON a.v % 6 = c.k AND c.ms <= a.ms) WHERE rn = 1 AND b = cb",
    ),
    case(
        "a table that is read first",
        "CREATE TEMPORARY VIEW a AS SELECT *, PROCTIME() AS p FROM t;
         SELECT a.id, c.n FROM a LEFT JOIN (VALUES (1, 'one'), (2, 'two'), (2, 'zwei')) AS c(k, n)
         FOR SYSTEM_TIME AS OF a.p ON a.k = c.k",
        "SELECT t.id, c.n FROM t LEFT JOIN (VALUES (1, 'one'), (2, 'two'), (2, 'zwei')) AS c(k, n)
         ON t.k = c.k",
    ),
];

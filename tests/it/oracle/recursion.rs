//! Relations that follow from themselves. (Edges are made of a part of the rows only, since there are
//! many ways in a graph.)

use super::cases::{Case, same};

pub(super) const RECURSION: &[Case] = &[
    same(
        "reachable",
        "WITH RECURSIVE e AS (SELECT id % 41 AS a, (v + 1000) % 41 AS b FROM t WHERE id % 13 = 0),
         r AS (SELECT a, b FROM e UNION SELECT r.a, e.b FROM r JOIN e ON r.b = e.a)
         SELECT a, b FROM r",
    ),
    same(
        "reachable from one side, counted",
        "WITH RECURSIVE e AS (SELECT id % 97 AS a, (v + 1000) % 97 AS b FROM t WHERE id % 9 = 0),
         r AS (SELECT 5 AS a, 5 AS b UNION SELECT r.a, e.b FROM r JOIN e ON r.b = e.a)
         SELECT COUNT(*) AS n, SUM(b) AS s FROM r",
    ),
    same(
        "ways of a graph without circles",
        "WITH RECURSIVE e AS (SELECT id % 20 AS a, id % 20 + 1 + (v + 1000) % 3 AS b FROM t
         WHERE id % 37 = 0),
         r AS (SELECT a, b, 1 AS d FROM e
         UNION ALL SELECT r.a, e.b, r.d + 1 FROM r JOIN e ON r.b = e.a)
         SELECT a, b, d, COUNT(*) AS n FROM r GROUP BY a, b, d",
    ),
    same(
        "distances",
        "WITH RECURSIVE e AS (SELECT id % 50 AS a, (v + 1000) % 50 AS b FROM t WHERE id % 11 = 0),
         r AS (SELECT 7 AS a, 0 AS d UNION SELECT e.b, r.d + 1 FROM r JOIN e ON r.a = e.a
         WHERE r.d < 6)
         SELECT a, MIN(d) AS d FROM r GROUP BY a",
    ),
    same(
        "reachable by edges that are updated",
        "WITH RECURSIVE e AS (SELECT (v + 1000) % 60 AS a, MAX(id) % 60 AS b FROM t
         GROUP BY (v + 1000) % 60),
         r AS (SELECT a, b FROM e WHERE a % 4 = 0
         UNION SELECT r.a, e.b FROM r JOIN e ON r.b = e.a)
         SELECT a, b FROM r",
    ),
    same(
        "reachable over some nodes",
        "WITH RECURSIVE e AS (SELECT id % 70 AS a, (v + 1000) % 70 AS b FROM t WHERE id % 10 = 0),
         r AS (SELECT a, b FROM e WHERE a < 9
         UNION SELECT r.a, e.b FROM r JOIN e ON r.b = e.a
         WHERE e.b % 8 IN (SELECT k FROM t))
         SELECT a, b FROM r",
    ),
];

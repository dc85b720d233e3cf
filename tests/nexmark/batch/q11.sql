-- A pause of more than ten seconds begins a session.
WITH starts AS (
  SELECT bidder, ms,
    CASE WHEN ms - LAG(ms) OVER (PARTITION BY bidder ORDER BY ms) <= 10000 THEN 0 ELSE 1 END AS starts
  FROM bid
),
sessions AS (SELECT *, SUM(starts) OVER (PARTITION BY bidder ORDER BY ms) AS session FROM starts)
SELECT bidder, COUNT(*) AS n, to_timestamp_millis(MIN(ms)) AS a, to_timestamp_millis(MAX(ms) + 10000) AS b
FROM sessions GROUP BY bidder, session

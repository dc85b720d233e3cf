WITH hours AS (SELECT *, date_part('hour', "dateTime") AS hour FROM bid)
SELECT auction, bidder, price * 908 / 1000.0 AS euros,
  CASE
    WHEN hour BETWEEN 8 AND 18 THEN 'dayTime'
    WHEN hour <= 6 OR hour >= 20 THEN 'nightTime'
    ELSE 'otherTime'
  END AS time,
  "dateTime", extra, LENGTH(extra) - LENGTH(REPLACE(extra, 'c', '')) AS c
FROM hours WHERE price * 908 > 1000000000 AND price * 908 < 50000000000

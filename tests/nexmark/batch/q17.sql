SELECT
  auction,
  to_char("dateTime", '%Y-%m-%d') AS day,
  COUNT(*) AS n,
  COUNT(*) FILTER (WHERE price < 10000) AS n1,
  COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS n2,
  COUNT(*) FILTER (WHERE price >= 1000000) AS n3,
  MIN(price) AS least,
  MAX(price) AS most,
  SUM(price) / COUNT(price) AS mean,
  SUM(price) AS total
FROM bid GROUP BY auction, day

SELECT
  channel,
  to_char("dateTime", '%Y-%m-%d') AS day,
  MAX(to_char("dateTime", '%H:%M')) AS minute,
  COUNT(*) AS n,
  COUNT(*) FILTER (WHERE price < 10000) AS n1,
  COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS n2,
  COUNT(*) FILTER (WHERE price >= 1000000) AS n3,
  COUNT(DISTINCT bidder) AS b,
  COUNT(DISTINCT CASE WHEN price < 10000 THEN bidder END) AS b1,
  COUNT(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN bidder END) AS b2,
  COUNT(DISTINCT CASE WHEN price >= 1000000 THEN bidder END) AS b3,
  COUNT(DISTINCT auction) AS a,
  COUNT(DISTINCT CASE WHEN price < 10000 THEN auction END) AS a1,
  COUNT(DISTINCT CASE WHEN price >= 10000 AND price < 1000000 THEN auction END) AS a2,
  COUNT(DISTINCT CASE WHEN price >= 1000000 THEN auction END) AS a3
FROM bid GROUP BY channel, day

WITH won AS (
  SELECT a.id, a.category, MAX(b.price) AS final
  FROM auction AS a JOIN bid AS b ON a.id = b.auction AND b.ms >= a.ms AND b.ms <= a.expires_ms
  GROUP BY a.id, a.category
)
SELECT category, SUM(final) / COUNT(final) AS mean FROM won GROUP BY category

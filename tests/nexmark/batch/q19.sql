-- Ties: of bids of equal price the one whose columns are least, from the left.
WITH ranked AS (
  SELECT *, ROW_NUMBER() OVER
    (PARTITION BY auction ORDER BY price DESC, bidder, channel, url, ms, extra) AS place
  FROM bid
)
SELECT auction, bidder, price, channel, url, "dateTime", extra, place FROM ranked WHERE place <= 10

-- Ties: of bids of equal price and time the one whose columns are least, from the left.
WITH ranked AS (
  SELECT a.*, b.auction, b.bidder, b.price, b."dateTime" AS bid_time, b.extra AS bid_extra,
    ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.ms, b.bidder, b.extra) AS place
  FROM auction AS a JOIN bid AS b ON a.id = b.auction AND b.ms >= a.ms AND b.ms <= a.expires_ms
)
SELECT id, "itemName", description, "initialBid", reserve, "dateTime", expires, seller, category, extra,
  auction, bidder, price, bid_time, bid_extra
FROM ranked WHERE place = 1

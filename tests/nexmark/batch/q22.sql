SELECT auction, bidder, price, channel,
  split_part(url, '/', 4) AS a, split_part(url, '/', 5) AS b, split_part(url, '/', 6) AS c
FROM bid

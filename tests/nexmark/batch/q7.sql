-- A bid at the very end of a window is compared with that window, too.
WITH most AS (SELECT ms - ms % 10000 AS w, MAX(price) AS most FROM bid GROUP BY w)
SELECT b.auction, b.price, b.bidder, b."dateTime", b.extra
FROM bid AS b JOIN most AS m ON b.price = m.most AND b.ms >= m.w AND b.ms <= m.w + 10000

-- The side input has the even keys below 10,000.
SELECT auction, bidder, price, "dateTime", 'value ' || (auction % 10000) AS v
FROM bid WHERE auction % 2 = 0

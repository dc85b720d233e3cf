-- The side input has the even keys below 10,000, from the beginning: the clock stands still, and it does not change.
SELECT auction, bidder, price, "dateTime", 'value ' || (auction % 10000) AS v
FROM bid WHERE auction % 2 = 0

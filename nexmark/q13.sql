-- Bounded side input join: a bid with what a file says of its auction.
-- The file is read once, and does not change: at any time of the clock a bid finds the same.
CREATE TABLE nexmark_q13 (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  `dateTime` TIMESTAMP(3),
  `value` STRING
) WITH (
  'connector' = 'blackhole'
);

INSERT INTO nexmark_q13
SELECT
  B.auction,
  B.bidder,
  B.price,
  B.`dateTime`,
  S.`value`
FROM (SELECT *, PROCTIME() AS p_time FROM bid) B
JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S
ON MOD(B.auction, 10000) = S.key;

-- Average selling price of a seller: over the last eleven auctions that were won.
-- Repaired: as it was published, the winning price is the MAX of a GROUP BY that leaves the time out by which
-- OVER orders. Here the winning bid is the highest, of equal ones the earliest; and since a higher bid may
-- follow, the input of OVER is updated, which Flink refuses.
CREATE TABLE nexmark_q6 (
  seller BIGINT,
  avg_price BIGINT
) WITH (
  'connector' = 'blackhole'
);

INSERT INTO nexmark_q6
SELECT
  Q.seller,
  AVG(Q.final) OVER
    (PARTITION BY Q.seller ORDER BY Q.`dateTime` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)
FROM (
  SELECT seller, final, `dateTime`
  FROM (
    SELECT
      A.seller,
      B.price AS final,
      B.`dateTime`,
      ROW_NUMBER() OVER (PARTITION BY A.id ORDER BY B.price DESC, B.`dateTime` ASC) AS rownum
    FROM auction AS A, bid AS B
    WHERE A.id = B.auction AND B.`dateTime` BETWEEN A.`dateTime` AND A.expires
  )
  WHERE rownum <= 1
) AS Q;

-- Window Top-N: behind a window aggregation.
CREATE TABLE Bid (
  bidtime TIMESTAMP(3),
  price DECIMAL(10, 2),
  item STRING,
  supplier_id STRING,
  WATERMARK FOR bidtime AS bidtime - INTERVAL '1' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'data/bid.csv',
  'format' = 'csv'
);

SELECT *
  FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS rownum
    FROM (
      SELECT window_start, window_end, supplier_id, SUM(price) AS price, COUNT(*) AS cnt
      FROM TABLE(
        TUMBLE(TABLE Bid, DESCRIPTOR(bidtime), INTERVAL '10' MINUTES))
      GROUP BY window_start, window_end, supplier_id
    )
  ) WHERE rownum <= 3;
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | supplier1 | 6.00 | 2 | 1
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | supplier2 | 5.00 | 1 | 2
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | supplier1 | 1.00 | 1 | 2
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | supplier2 | 9.00 | 2 | 1

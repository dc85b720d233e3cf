-- Window aggregation: GROUPING SETS.
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

SELECT window_start, window_end, supplier_id, SUM(price) AS total_price
  FROM TABLE(
    TUMBLE(TABLE Bid, DESCRIPTOR(bidtime), INTERVAL '10' MINUTES))
  GROUP BY window_start, window_end, GROUPING SETS ((supplier_id), ());
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | NULL | 11.00
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | supplier2 | 5.00
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | supplier1 | 6.00
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | NULL | 10.00
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | supplier2 | 9.00
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | supplier1 | 1.00

-- Windowing TVFs: SESSION, apart for each supplier.
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
    SESSION(TABLE Bid PARTITION BY supplier_id, DESCRIPTOR(bidtime), INTERVAL '5' MINUTES))
  GROUP BY supplier_id, window_start, window_end;
-- 2020-04-15 08:05:00.000 | 2020-04-15 08:12:00.000 | supplier1 | 6.00
-- 2020-04-15 08:09:00.000 | 2020-04-15 08:16:00.000 | supplier2 | 8.00
-- 2020-04-15 08:13:00.000 | 2020-04-15 08:18:00.000 | supplier1 | 1.00
-- 2020-04-15 08:17:00.000 | 2020-04-15 08:22:00.000 | supplier2 | 6.00

-- Windowing TVFs: HOP.
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

SELECT window_start, window_end, SUM(price) AS total_price
  FROM HOP(TABLE Bid, DESCRIPTOR(bidtime), INTERVAL '5' MINUTES, INTERVAL '10' MINUTES)
  GROUP BY window_start, window_end;
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | 11.00
-- 2020-04-15 08:05:00.000 | 2020-04-15 08:15:00.000 | 15.00
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | 10.00
-- 2020-04-15 08:15:00.000 | 2020-04-15 08:25:00.000 | 6.00

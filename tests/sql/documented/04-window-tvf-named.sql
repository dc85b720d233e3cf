-- Windowing TVFs: TUMBLE with named parameters, aggregated.
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
  FROM TABLE(
    TUMBLE(
      DATA => TABLE Bid,
      TIMECOL => DESCRIPTOR(bidtime),
      SIZE => INTERVAL '10' MINUTES))
  GROUP BY window_start, window_end;
-- 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | 11.00
-- 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | 10.00

-- Window deduplication: the last row of each window.
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
    SELECT bidtime, price, item, supplier_id, window_start, window_end,
      ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY bidtime DESC) AS rownum
    FROM TABLE(
               TUMBLE(TABLE Bid, DESCRIPTOR(bidtime), INTERVAL '10' MINUTES))
  ) WHERE rownum <= 1;
-- 2020-04-15 08:09:00.000 | 5.00 | D | supplier2 | 2020-04-15 08:00:00.000 | 2020-04-15 08:10:00.000 | 1
-- 2020-04-15 08:17:00.000 | 6.00 | F | supplier2 | 2020-04-15 08:10:00.000 | 2020-04-15 08:20:00.000 | 1

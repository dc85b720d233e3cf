-- Group aggregation over windows, as it was before windowing TVFs.
CREATE TABLE Orders (
  `user`      STRING,
  product     STRING,
  amount      INT,
  order_time  TIMESTAMP(3),
  WATERMARK FOR order_time AS order_time - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = 'data/amounts.csv', 'format' = 'csv');

SELECT
  `user`,
  TUMBLE_START(order_time, INTERVAL '1' DAY) AS wStart,
  SUM(amount) AS total FROM Orders
GROUP BY
  TUMBLE(order_time, INTERVAL '1' DAY),
  `user`;
-- ann | 2024-05-01 00:00:00.000 | 7
-- ann | 2024-05-02 00:00:00.000 | 1
-- bob | 2024-05-01 00:00:00.000 | 2

-- Over aggregation: a sum over the last hour, for each order.
CREATE TABLE Orders (
  order_id    BIGINT,
  product     STRING,
  amount      INT,
  order_time  TIMESTAMP(3),
  WATERMARK FOR order_time AS order_time - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = 'data/product_orders.csv',
  'format' = 'csv'
);

SELECT order_id, order_time, amount,
  SUM(amount) OVER (
    PARTITION BY product
    ORDER BY order_time
    RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW
  ) AS one_hour_prod_amount_sum
FROM Orders;
-- 1 | 2024-05-01 10:00:00.000 | 5 | 5
-- 2 | 2024-05-01 10:20:00.000 | 7 | 7
-- 3 | 2024-05-01 10:30:00.000 | 2 | 7
-- 4 | 2024-05-01 11:00:00.000 | 4 | 11
-- 5 | 2024-05-01 11:00:00.001 | 1 | 7
-- 6 | 2024-05-01 12:30:00.000 | 3 | 3

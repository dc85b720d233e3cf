-- Over aggregation: a sum over the last hour, for each order.
CREATE TABLE Orders (
  order_id    BIGINT,
  product     STRING,
  amount      INT,
  order_time  TIMESTAMP(3),
  WATERMARK FOR order_time AS order_time - INTERVAL '1' MINUTE
) WITH ('connector' = 'datagen');

SELECT order_id, order_time, amount,
  SUM(amount) OVER (
    PARTITION BY product
    ORDER BY order_time
    RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW
  ) AS one_hour_prod_amount_sum
FROM Orders;
-- error: an OVER window is not supported yet … "Relational streaming"

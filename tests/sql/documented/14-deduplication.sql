-- Deduplication: the first row of each order.
CREATE TABLE Orders (
  order_id  STRING,
  `user`    STRING,
  product   STRING,
  num       BIGINT,
  proctime AS PROCTIME()
) WITH (
  'connector' = 'filesystem',
  'path' = 'data/repeated_orders.csv',
  'format' = 'csv'
);

SELECT order_id, `user`, product, num
FROM (
  SELECT *,
    ROW_NUMBER() OVER (PARTITION BY order_id ORDER BY proctime ASC) AS row_num
  FROM Orders)
WHERE row_num = 1;
-- o1 | ann | apple | 3
-- o2 | bob | pear | 1
-- o3 | ann | plum | 2

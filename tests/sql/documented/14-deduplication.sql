-- Deduplication: the first row of each order.
CREATE TABLE Orders (
  order_id  STRING,
  `user`    STRING,
  product   STRING,
  num       BIGINT,
  proctime AS PROCTIME()
) WITH ('connector' = 'datagen');

SELECT order_id, `user`, product, num
FROM (
  SELECT *,
    ROW_NUMBER() OVER (PARTITION BY order_id ORDER BY proctime ASC) AS row_num
  FROM Orders)
WHERE row_num = 1;
-- error: ROW_NUMBER() without windows is not supported yet … "Relational streaming"

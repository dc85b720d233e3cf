-- WITH clause.
CREATE TABLE Orders (`user` STRING, product STRING, amount INT, order_time TIMESTAMP(3))
WITH ('connector' = 'filesystem', 'path' = 'data/amounts.csv', 'format' = 'csv');

WITH orders_with_total AS (
    SELECT product, amount + 1 AS total
    FROM Orders
)
SELECT product, SUM(total) AS total
FROM orders_with_total
GROUP BY product;
-- ink | 8
-- pen | 6

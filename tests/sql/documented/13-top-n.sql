-- Top-N: the best of each category, at any time.
CREATE TABLE ShopSales (
  product_id   STRING,
  category     STRING,
  product_name STRING,
  sales        BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'data/shop_sales.csv',
  'format' = 'csv'
);

SELECT *
FROM (
  SELECT *,
    ROW_NUMBER() OVER (PARTITION BY category ORDER BY sales DESC) AS row_num
  FROM ShopSales)
WHERE row_num <= 5;
-- 1 | fruit | apple | 90 | 1
-- 7 | fruit | melon | 80 | 2
-- 3 | fruit | plum | 70 | 3
-- 6 | fruit | fig | 60 | 4
-- 2 | fruit | pear | 50 | 5
-- 5 | tool | saw | 30 | 1
-- 8 | tool | file | 20 | 2

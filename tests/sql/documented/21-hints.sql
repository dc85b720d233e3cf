-- SQL hints: other options for one query.
CREATE TABLE csv_table1 (id BIGINT, name STRING, age INT)
WITH ('connector' = 'filesystem', 'path' = 'data/none.csv', 'format' = 'csv');

SELECT id, name FROM csv_table1 /*+ OPTIONS('path'='data/ages.csv', 'csv.null-literal'='-') */ WHERE age > 30;
-- 2 | bob

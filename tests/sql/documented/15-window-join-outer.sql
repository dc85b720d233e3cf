-- Window join: outer.
CREATE TABLE LeftTable (row_time TIMESTAMP(3), num INT, id STRING, WATERMARK FOR row_time AS row_time - INTERVAL '5' MINUTE)
WITH ('connector' = 'filesystem', 'path' = 'data/left.csv', 'format' = 'csv');
CREATE TABLE RightTable (row_time TIMESTAMP(3), num INT, id STRING, WATERMARK FOR row_time AS row_time - INTERVAL '5' MINUTE)
WITH ('connector' = 'filesystem', 'path' = 'data/right.csv', 'format' = 'csv');

SELECT L.num as L_Num, L.id as L_Id, R.num as R_Num, R.id as R_Id,
       COALESCE(L.window_start, R.window_start) as window_start,
       COALESCE(L.window_end, R.window_end) as window_end
       FROM (
           SELECT * FROM TABLE(TUMBLE(TABLE LeftTable, DESCRIPTOR(row_time), INTERVAL '5' MINUTES))
       ) L
       FULL JOIN (
           SELECT * FROM TABLE(TUMBLE(TABLE RightTable, DESCRIPTOR(row_time), INTERVAL '5' MINUTES))
       ) R
       ON L.num = R.num AND L.window_start = R.window_start AND L.window_end = R.window_end;
-- 1 | L1 | NULL | NULL | 2020-04-15 12:00:00.000 | 2020-04-15 12:05:00.000
-- NULL | NULL | 2 | R2 | 2020-04-15 12:00:00.000 | 2020-04-15 12:05:00.000
-- 3 | L3 | 3 | R3 | 2020-04-15 12:00:00.000 | 2020-04-15 12:05:00.000
-- 2 | L2 | NULL | NULL | 2020-04-15 12:05:00.000 | 2020-04-15 12:10:00.000
-- NULL | NULL | 4 | R4 | 2020-04-15 12:05:00.000 | 2020-04-15 12:10:00.000

-- EXPLAIN and statement sets: two inserts are one job.
CREATE TABLE MyTable1 (`count` BIGINT, word STRING) WITH ('connector' = 'datagen');
CREATE TABLE sink1 (n BIGINT, word STRING) WITH ('connector' = 'blackhole');
CREATE TABLE sink2 (word STRING) WITH ('connector' = 'blackhole');

EXPLAIN STATEMENT SET
BEGIN
INSERT INTO sink1 SELECT `count`, word FROM MyTable1 WHERE word LIKE 'F%';
INSERT INTO sink2 SELECT UPPER(word) FROM MyTable1;
END;
-- shows: sink1
-- shows: sink2

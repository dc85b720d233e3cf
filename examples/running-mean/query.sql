-- The mean temperature of each sensor so far, updated with each reading.
--
--     thalweg run examples/running-mean/query.sql

CREATE TABLE readings (
  sensor STRING,
  degrees DOUBLE,
  read_time TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/running-mean/readings.csv',
  'format' = 'csv'
);

CREATE TABLE means (
  sensor STRING,
  readings BIGINT,
  mean DOUBLE
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/running-mean',
  'format' = 'debezium-json'
);

INSERT INTO means
SELECT sensor, COUNT(*), AVG(degrees)
FROM readings
GROUP BY sensor;

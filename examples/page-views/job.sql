-- Page views per user and hour.
CREATE TABLE views (
  `user` STRING,
  page   STRING,
  ts     TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/page-views/views.json',
  'format' = 'json',
  'scan.rows-per-second' = '15000'
);

CREATE TABLE hourly (
  `hour` TIMESTAMP(3),
  `user` STRING,
  views  BIGINT,
  pages  BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/page-views/out',
  'format' = 'csv'
);

INSERT INTO hourly
SELECT window_start, `user`, COUNT(*), COUNT(DISTINCT page)
FROM TABLE(TUMBLE(TABLE views, DESCRIPTOR(ts), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, `user`;

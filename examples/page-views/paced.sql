-- The same as query.sql, read slowly enough that there is time to kill it: about five seconds.
-- `./run-demo` does that, and shows that nothing is lost and nothing stands there twice.

CREATE TABLE views (
  user_name STRING,
  page STRING,
  view_time TIMESTAMP(3),
  WATERMARK FOR view_time AS view_time - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/page-views/views.json',
  'format' = 'json',
  'scan.rows-per-second' = '300'
);

CREATE TABLE views_per_hour (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  user_name STRING,
  views BIGINT,
  pages BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/demo',
  'format' = 'json'
);

INSERT INTO views_per_hour
SELECT window_start, window_end, user_name, COUNT(*), COUNT(DISTINCT page)
FROM TABLE(TUMBLE(TABLE views, DESCRIPTOR(view_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, user_name;

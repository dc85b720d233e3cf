-- The sessions of each user: views of pages without a pause of ten minutes. Rows may be out of order, so
-- a view can make two sessions one; a session is told of when no view can change it any more.
--
--     thalweg run examples/sessions/query.sql

CREATE TABLE views (
  user_name STRING,
  page STRING,
  view_time TIMESTAMP(3),
  WATERMARK FOR view_time AS view_time - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/page-views/views.json',
  'format' = 'json'
);

CREATE TABLE sessions (
  user_name STRING,
  session_start TIMESTAMP(3),
  session_end TIMESTAMP(3),
  views BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/sessions',
  'format' = 'json'
);

INSERT INTO sessions
SELECT user_name, window_start, window_end, COUNT(*)
FROM TABLE(SESSION(TABLE views PARTITION BY user_name, DESCRIPTOR(view_time), INTERVAL '10' MINUTE))
GROUP BY user_name, window_start, window_end;

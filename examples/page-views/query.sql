-- How many pages each user viewed in each hour, and how many different ones. A view may be
-- recorded up to five seconds late; an hour is answered when the watermark has passed its end,
-- once, so plain `json` can carry the result.
--
--     thalweg run examples/page-views/query.sql

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

CREATE TABLE views_per_hour (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  user_name STRING,
  views BIGINT,
  pages BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/page-views',
  'format' = 'json'
);

INSERT INTO views_per_hour
SELECT window_start, window_end, user_name, COUNT(*), COUNT(DISTINCT page)
FROM TABLE(TUMBLE(TABLE views, DESCRIPTOR(view_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, user_name;

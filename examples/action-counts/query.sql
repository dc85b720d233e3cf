-- How often each action was taken in each hour, from a directory of JSON files: a table that is
-- updated as files are read, as Spark's structured queries do. A file may come a day late. With
-- 'source.monitor-interval' = '1 s' the job waits for more of them.
--
--     thalweg run examples/action-counts/query.sql

CREATE TABLE logs (
  action STRING,
  `time` TIMESTAMP(3),
  WATERMARK FOR `time` AS `time` - INTERVAL '1' DAY
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/action-counts/logs',
  'format' = 'json'
);

CREATE TABLE action_counts (
  action STRING,
  hour_start TIMESTAMP(3),
  actions BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/action-counts',
  'format' = 'debezium-json'
);

INSERT INTO action_counts
SELECT action, window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE logs, DESCRIPTOR(`time`), INTERVAL '1' HOUR))
GROUP BY action, window_start, window_end
EMIT CHANGES;

-- How often each genre was played in each hour, as Spotify moved its hourly buckets to streams: a bucket
-- is told of every ten plays while it is open, when its hour is over, and again for each play that
-- comes late, up to two hours. Each pane takes the one before it back, so that there is one row for
-- each bucket, and it says how it came about.
--
--     thalweg run examples/hourly-buckets/query.sql

CREATE TABLE plays (
  genre STRING,
  played TIMESTAMP(3),
  WATERMARK FOR played AS SOURCE_WATERMARK()
) WITH (
  'connector' = 'script',
  'path' = 'examples/hourly-buckets/script.json'
);

CREATE TABLE buckets (
  hour_start TIMESTAMP(3),
  genre STRING,
  plays BIGINT,
  timing STRING,
  pane BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/hourly-buckets',
  'format' = 'debezium-json'
);

INSERT INTO buckets
SELECT window_start, genre, COUNT(*), PANE_TIMING(), PANE_INDEX()
FROM TABLE(TUMBLE(TABLE plays, DESCRIPTOR(played), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, genre
EMIT AFTER WATERMARK WITH EARLY EVERY 10 ROWS WITH LATE EVERY 1 ROW
  RETRACTING ALLOWED LATENESS INTERVAL '2' HOUR;

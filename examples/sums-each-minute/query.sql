-- The points of each team so far, a minute of the clock behind the first score that nobody was told of.
-- It is the snippet of the Dataflow model: a trigger that is repeated each minute, sums that accumulate.
-- The script says what comes, and what time it is; without groups of time all is one window, which ends
-- with the input.
--
--     thalweg run examples/sums-each-minute/query.sql

CREATE TABLE scores (
  team STRING,
  points BIGINT
) WITH (
  'connector' = 'script',
  'path' = 'examples/sums-each-minute/script.json'
);

CREATE TABLE sums (
  team STRING,
  points BIGINT,
  timing STRING,
  pane BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/sums-each-minute',
  'format' = 'json'
);

INSERT INTO sums
SELECT team, SUM(points), PANE_TIMING(), PANE_INDEX()
FROM scores
GROUP BY team
EMIT AFTER WATERMARK WITH EARLY EVERY INTERVAL '1' MINUTE ACCUMULATING;

-- Stolen cards: a small charge, to see whether a card works, and then a large one within a minute, with
-- any others between them.
--
--     thalweg run examples/fraud/query.sql

CREATE TABLE charges (
  card BIGINT,
  cents BIGINT,
  `at` TIMESTAMP(3),
  WATERMARK FOR `at` AS `at` - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/fraud/charges.json',
  'format' = 'json'
);

CREATE TABLE alerts (
  card BIGINT,
  cents BIGINT,
  tried_at TIMESTAMP(3),
  charged_at TIMESTAMP(3)
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/fraud',
  'format' = 'json'
);

INSERT INTO alerts
SELECT *
FROM charges MATCH_RECOGNIZE (
  PARTITION BY card
  ORDER BY `at`
  MEASURES
    LARGE.cents AS cents,
    SMALL.`at` AS tried_at,
    LARGE.`at` AS charged_at
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (SMALL OTHER*? LARGE) WITHIN INTERVAL '1' MINUTE
  DEFINE
    SMALL AS cents < 100,
    LARGE AS cents > 50000
);

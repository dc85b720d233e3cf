-- The bids of Nexmark as lines of JSON. `BIDS` is replaced by a folder; the text is the same for
-- Thalweg and for Flink.
CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel STRING,
  url STRING,
  `dateTime` TIMESTAMP(3),
  extra STRING,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'BIDS',
  'format' = 'json'
);

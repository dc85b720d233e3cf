-- Dips of prices: a price that falls for a while and then rises for a while, a V. The next dip may begin
-- where this one ends. How long a dip takes is not known before, so the rows of one are kept until its
-- last rise is over: `EXPLAIN` says so.
--
--     thalweg run examples/price-dips/query.sql

CREATE TABLE ticker (
  symbol STRING,
  price BIGINT,
  quoted TIMESTAMP(3),
  WATERMARK FOR quoted AS quoted - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/price-dips/ticker.json',
  'format' = 'json'
);

CREATE TABLE dips (
  symbol STRING,
  dip_start TIMESTAMP(3),
  bottom TIMESTAMP(3),
  dip_end TIMESTAMP(3),
  fall BIGINT,
  rises BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/price-dips',
  'format' = 'json'
);

INSERT INTO dips
SELECT *
FROM ticker MATCH_RECOGNIZE (
  PARTITION BY symbol
  ORDER BY quoted
  MEASURES
    TOP.quoted AS dip_start,
    LAST(DOWN.quoted) AS bottom,
    LAST(UP.quoted) AS dip_end,
    TOP.price - LAST(DOWN.price) AS fall,
    COUNT(UP.*) AS rises
  ONE ROW PER MATCH
  AFTER MATCH SKIP TO LAST UP
  PATTERN (TOP DOWN+ UP+)
  DEFINE
    DOWN AS price < PREV(price),
    UP AS price > PREV(price)
);

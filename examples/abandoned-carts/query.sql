-- A funnel with a missing step: who looked at a product, put it into the cart and did not pay, all within
-- half an hour of the first look. The payment is optional in the pattern, and the search prefers a match
-- with one; that there is none is known when the half hour is over.
--
--     thalweg run examples/abandoned-carts/query.sql

CREATE TABLE actions (
  user_name STRING,
  action STRING,
  action_time TIMESTAMP(3),
  WATERMARK FOR action_time AS action_time - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/abandoned-carts/actions.json',
  'format' = 'json'
);

CREATE TABLE abandoned (
  user_name STRING,
  seen TIMESTAMP(3),
  carted TIMESTAMP(3),
  looks BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/abandoned-carts',
  'format' = 'json'
);

INSERT INTO abandoned
SELECT user_name, seen, carted, looks
FROM actions MATCH_RECOGNIZE (
  PARTITION BY user_name
  ORDER BY action_time
  MEASURES
    FIRST(LOOK.action_time) AS seen,
    CART.action_time AS carted,
    COUNT(LOOK.*) AS looks,
    PAY.action_time AS paid
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (LOOK+ CART OTHER* PAY?) WITHIN INTERVAL '30' MINUTE
  DEFINE
    LOOK AS action = 'look',
    CART AS action = 'cart',
    OTHER AS action <> 'pay',
    PAY AS action = 'pay'
)
WHERE paid IS NULL;

-- The three words that were mentioned most in the last hour, each half hour anew: hopping
-- windows, a count for each word, and the first three of each window. Words mentioned equally
-- often stand in the order of the alphabet.
--
--     thalweg run examples/trending-topics/query.sql

CREATE TABLE posts (
  author STRING,
  body STRING,
  post_time TIMESTAMP(3),
  WATERMARK FOR post_time AS post_time - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/trending-topics/posts.json',
  'format' = 'json'
);

CREATE TABLE trends (
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3),
  place BIGINT,
  word STRING,
  mentions BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/trending-topics',
  'format' = 'json'
);

CREATE TEMPORARY VIEW words AS
SELECT word, post_time
FROM posts CROSS JOIN UNNEST(SPLIT(body, ' ')) AS t(word);

CREATE TEMPORARY VIEW mentions_per_window AS
SELECT window_start, window_end, word, COUNT(*) AS mentions
FROM TABLE(HOP(TABLE words, DESCRIPTOR(post_time), INTERVAL '30' MINUTE, INTERVAL '1' HOUR))
GROUP BY window_start, window_end, word;

INSERT INTO trends
SELECT window_start, window_end, place, word, mentions
FROM (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY window_start, window_end ORDER BY mentions DESC, word) AS place
  FROM mentions_per_window
)
WHERE place <= 3;

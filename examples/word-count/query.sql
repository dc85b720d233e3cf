-- Counts the words of a text. The counts are updated as lines come in, so the sink must be able
-- to carry updates: `debezium-json` does.
--
--     thalweg run examples/word-count/query.sql

CREATE TABLE lines (
  line STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/word-count/lines.txt',
  'format' = 'raw'
);

CREATE TABLE counts (
  word STRING,
  occurrences BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/word-count',
  'format' = 'debezium-json'
);

INSERT INTO counts
SELECT word, COUNT(*)
FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word)
GROUP BY word;

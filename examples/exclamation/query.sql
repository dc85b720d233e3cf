-- The exclamation topology of Storm: a first step puts a mark behind each word, and a second one puts
-- a mark behind the words and behind what the first step made of them.
--
--     thalweg run examples/exclamation/query.sql

CREATE TABLE words (
  word STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'examples/exclamation/words.txt',
  'format' = 'raw'
);

CREATE TABLE exclaimed (
  word STRING
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/exclamation',
  'format' = 'json'
);

CREATE TEMPORARY VIEW once AS
SELECT word || '!' AS word FROM words;

INSERT INTO exclaimed
SELECT word || '!' FROM (SELECT word FROM words UNION ALL SELECT word FROM once);

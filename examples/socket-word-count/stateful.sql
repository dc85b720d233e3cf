-- Counts the words that come over a socket, from the beginning: a running count that is kept
-- from line to line. Feed it with
--
--     python3 examples/socket-word-count/feed.py examples/socket-word-count/lines.txt
--
-- (or type into `nc -lk 9999`) and then run
--
--     thalweg run examples/socket-word-count/stateful.sql

CREATE TABLE lines (
  line STRING
) WITH (
  'connector' = 'socket',
  'hostname' = '127.0.0.1',
  'port' = '9999',
  'format' = 'raw'
);

SELECT word, COUNT(*) AS occurrences
FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word)
GROUP BY word;

-- Counts the words that come over a socket, each second for itself: what one second counted is
-- forgotten when the next begins. The windows follow the clock of the machine (PROCTIME), so
-- where one ends changes from run to run; the sum over all windows does not. Feed it with
--
--     python3 examples/socket-word-count/feed.py examples/socket-word-count/lines.txt
--
-- (or type into `nc -lk 9999`) and then run
--
--     thalweg run examples/socket-word-count/stateless.sql

CREATE TABLE lines (
  line STRING,
  arrival AS PROCTIME()
) WITH (
  'connector' = 'socket',
  'hostname' = '127.0.0.1',
  'port' = '9999',
  'format' = 'raw'
);

CREATE TEMPORARY VIEW words AS
SELECT word, arrival
FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word);

SELECT window_start, word, COUNT(*) AS occurrences
FROM TABLE(TUMBLE(TABLE words, DESCRIPTOR(arrival), INTERVAL '1' SECOND))
GROUP BY window_start, window_end, word;

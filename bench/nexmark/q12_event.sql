-- Bids of each bidder in windows of ten seconds; by event time, so that every run gives the same.
CREATE TABLE answer (
  bidder BIGINT,
  bid_count BIGINT,
  window_start TIMESTAMP(3),
  window_end TIMESTAMP(3)
) WITH (
  'connector' = 'blackhole'
);

INSERT INTO answer
SELECT bidder, COUNT(*), window_start, window_end
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;

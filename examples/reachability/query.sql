-- From which station one can come to which, while links open and close: a relation that follows from
-- itself. Of each link the last row counts.
--
--     thalweg run examples/reachability/query.sql

CREATE TABLE links (
  link BIGINT,
  from_station BIGINT,
  to_station BIGINT,
  is_open BOOLEAN,
  changed TIMESTAMP(3)
) WITH (
  'connector' = 'script',
  'path' = 'examples/connected-components/links.json'
);

CREATE TABLE reachable (
  from_station BIGINT,
  to_station BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = 'output/reachability',
  'format' = 'debezium-json'
);

CREATE TEMPORARY VIEW open_links AS
SELECT from_station, to_station FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY link ORDER BY changed DESC) AS place FROM links
) WHERE place = 1 AND is_open;

INSERT INTO reachable
WITH RECURSIVE reach AS (
  SELECT from_station, to_station FROM open_links
  UNION
  SELECT reach.from_station, next.to_station
  FROM reach JOIN open_links AS next ON reach.to_station = next.from_station
)
SELECT from_station, to_station FROM reach;

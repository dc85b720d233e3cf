-- The most effective ad of each hour: the one with the most clicks by those who had seen it within the
-- ten minutes before. An hour is answered when nothing can change it any more.
--
--     thalweg run examples/ad-clicks/query.sql

CREATE TABLE views (user_id BIGINT, ad STRING, `at` TIMESTAMP(3),
  WATERMARK FOR `at` AS `at` - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'examples/ad-clicks/views.json', 'format' = 'json');
CREATE TABLE clicks WITH ('path' = 'examples/ad-clicks/clicks.json') LIKE views;
CREATE TABLE best (window_start TIMESTAMP(3), window_end TIMESTAMP(3), ad STRING, clicks BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'output/ad-clicks', 'format' = 'json');

CREATE TEMPORARY VIEW effective AS SELECT v.* FROM views AS v JOIN clicks AS c
ON v.user_id = c.user_id AND v.ad = c.ad AND c.`at` BETWEEN v.`at` AND v.`at` + INTERVAL '10' MINUTE;

INSERT INTO best SELECT window_start, window_end, ad, clicks FROM (SELECT *,
  ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY clicks DESC, ad DESC) AS place
  FROM (SELECT window_start, window_end, ad, COUNT(*) AS clicks
    FROM TABLE(TUMBLE(TABLE effective, DESCRIPTOR(`at`), INTERVAL '1' HOUR))
    GROUP BY window_start, window_end, ad)
) WHERE place = 1;

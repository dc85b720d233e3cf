-- Each bid is in five windows: they begin each two seconds and last ten.
WITH hops AS (
  SELECT auction, ms - ms % 2000 - o AS w
  FROM bid CROSS JOIN (VALUES (0), (2000), (4000), (6000), (8000)) AS v(o)
),
counts AS (SELECT auction, w, COUNT(*) AS num FROM hops GROUP BY auction, w),
most AS (SELECT *, MAX(num) OVER (PARTITION BY w) AS most FROM counts)
SELECT auction, num FROM most WHERE num = most

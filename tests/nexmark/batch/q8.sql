SELECT DISTINCT p.id, p.name, to_timestamp_millis(p.ms - p.ms % 10000) AS w
FROM person AS p JOIN auction AS a
ON p.id = a.seller AND p.ms - p.ms % 10000 = a.ms - a.ms % 10000

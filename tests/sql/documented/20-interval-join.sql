-- Joins: orders and their shipments within four hours.
CREATE TABLE Orders (id BIGINT, order_time TIMESTAMP(3), WATERMARK FOR order_time AS order_time)
WITH ('connector' = 'filesystem', 'path' = 'data/shop_orders.csv', 'format' = 'csv');
CREATE TABLE Shipments (order_id BIGINT, ship_time TIMESTAMP(3), WATERMARK FOR ship_time AS ship_time)
WITH ('connector' = 'filesystem', 'path' = 'data/shipments.csv', 'format' = 'csv');

SELECT o.id, s.ship_time
FROM Orders o, Shipments s
WHERE o.id = s.order_id
AND o.order_time BETWEEN s.ship_time - INTERVAL '4' HOUR AND s.ship_time;
-- 1 | 2020-04-15 10:30:00.000
-- 2 | 2020-04-15 13:00:00.000

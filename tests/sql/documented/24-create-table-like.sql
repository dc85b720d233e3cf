-- CREATE TABLE: LIKE, with a watermark added and other options.
CREATE TABLE Orders (
    `user` STRING,
    product STRING,
    amount INT,
    order_time TIMESTAMP(3)
) WITH (
    'connector' = 'filesystem',
    'path' = 'data/amounts.csv',
    'format' = 'csv'
);

CREATE TABLE Orders_with_watermark (
    WATERMARK FOR order_time AS order_time - INTERVAL '5' SECOND
) WITH (
    'bad-records' = 'skip'
)
LIKE Orders (
    INCLUDING ALL
    OVERWRITING OPTIONS
);

SELECT window_start, COUNT(DISTINCT `user`) AS users
FROM TABLE(TUMBLE(TABLE Orders_with_watermark, DESCRIPTOR(order_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end;
-- 2024-05-01 00:00:00.000 | 2
-- 2024-05-02 00:00:00.000 | 1

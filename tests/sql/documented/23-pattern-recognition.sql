-- Pattern recognition.
CREATE TABLE Ticker (symbol STRING, price DOUBLE, tax DOUBLE, rowtime TIMESTAMP(3), WATERMARK FOR rowtime AS rowtime)
WITH ('connector' = 'datagen');

SELECT *
FROM Ticker
    MATCH_RECOGNIZE (
        PARTITION BY symbol
        ORDER BY rowtime
        MEASURES
            START_ROW.rowtime AS start_tstamp,
            LAST(PRICE_DOWN.rowtime) AS bottom_tstamp
        ONE ROW PER MATCH
        AFTER MATCH SKIP TO LAST PRICE_UP
        PATTERN (START_ROW PRICE_DOWN+ PRICE_UP)
        DEFINE
            PRICE_DOWN AS PRICE_DOWN.price < LAST(PRICE_DOWN.price, 1),
            PRICE_UP AS PRICE_UP.price > LAST(PRICE_DOWN.price, 1)
    ) MR;
-- error: MATCH_RECOGNIZE is not supported yet … "Patterns and loops"

-- Candles of 5 minutes, made from minute candles and labelled by their start. The closing auction
-- is a candle of its own, and no candle joins two sessions. An interval without a trade has no row.
--
-- trading_day: as in minute_candles
-- started_at: Start of the 5 minutes; of the closing auction, the start of the interval it ends in
-- stock_code, session: as in minute_candles
-- open: First price of the 5 minutes; at the open it may lie outside low and high (시가) [KRW]
-- high: Highest price (고가) [KRW]
-- low: Lowest price (저가) [KRW]
-- close: Last price (종가) [KRW]
-- volume: Shares traded in the 5 minutes (거래량) [shares]
-- trading_value: Value traded in the 5 minutes; the first candle of a session includes trades
--     before it at a closing price or in blocks (거래대금) [KRW]

SELECT
    trading_day,
    time_bucket(INTERVAL '5 minutes', started_at) AS started_at,
    stock_code,
    session,
    arg_min(open, minutes.started_at) AS open,
    max(high) AS high,
    min(low) AS low,
    arg_max(close, minutes.started_at) AS close,
    sum(volume)::BIGINT AS volume,
    sum(trading_value)::BIGINT AS trading_value
FROM minute_candles AS minutes
GROUP BY trading_day, time_bucket(INTERVAL '5 minutes', started_at), stock_code, session

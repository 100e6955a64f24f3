-- One candle per stock and week on the share count of the newest stored day, made from
-- daily_candles_adjusted, so that a week with a split is on one basis. trading_day is its last
-- stored day. is_final is true if none of its days will change.
--
-- trading_day: The last stored day of the week
-- stock_code: as in daily_candles
-- open: First price of the first day with a trade; null in a week without one (시가) [KRW]
-- high: Highest price; null in a week without a trade (고가) [KRW]
-- low: Lowest price; null in a week without a trade (저가) [KRW]
-- close: Close of trading_day; the previous one on a day without a trade (종가) [KRW]
-- volume: Shares traded in the week (거래량) [shares]
-- trading_value: Value traded in the week (거래대금) [KRW]
-- days: Number of stored days in the week
-- is_final: Whether all these days are final

SELECT
    max(trading_day) AS trading_day,
    stock_code,
    -- A day without a regular trade has no open; only its close and volume count.
    arg_min(open, candles.trading_day) FILTER (open > 0) AS open,
    max(high) FILTER (open > 0) AS high,
    min(low) FILTER (open > 0) AS low,
    arg_max(close, candles.trading_day) AS close,
    sum(volume)::BIGINT AS volume,
    sum(trading_value)::BIGINT AS trading_value,
    count(*) AS days,
    bool_and(is_final) AS is_final
FROM daily_candles_adjusted AS candles
GROUP BY date_trunc('week', candles.trading_day), stock_code

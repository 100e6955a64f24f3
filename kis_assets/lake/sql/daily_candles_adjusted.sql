-- Daily candles on the share count of the newest one stored. factor is the product of the factors
-- of all later days in adjustment_factors, which has one for each split, reverse split, bonus issue,
-- capital reduction, rights issue, merger and spin-off. Prices are fractional KRW; volume is
-- divided by the factor. Cash dividends change nothing. daily_candles stay raw. A day without a
-- trade has no open, high and low, so that it is in no lowest price of a span.
--
-- trading_day, stock_code: as in daily_candles
-- open: First price of the session times factor; null on a day without a trade (시가) [KRW]
-- high: Highest price times factor; null on a day without a trade (고가) [KRW]
-- low: Lowest price times factor; null on a day without a trade (저가) [KRW]
-- close: Close times factor (종가) [KRW]
-- volume: Shares traded on the whole day, divided by factor (거래량) [shares]
-- trading_value: as in daily_candles
-- factor: What the day's prices are multiplied by: the product of the steps of all later days
-- step: What this day did to all prices before it; 1 where nothing happened
-- is_final: as in daily_candles

SELECT
    daily_candles.trading_day,
    daily_candles.stock_code,
    nullif(open, 0) * coalesce(spans.factor, 1.0) AS open,
    nullif(high, 0) * coalesce(spans.factor, 1.0) AS high,
    nullif(low, 0) * coalesce(spans.factor, 1.0) AS low,
    close * coalesce(spans.factor, 1.0) AS close,
    round(volume / coalesce(spans.factor, 1.0))::BIGINT AS volume,
    trading_value,
    coalesce(spans.factor, 1.0) AS factor,
    coalesce(effects.factor, 1.0) AS step,
    is_final
FROM daily_candles
LEFT JOIN adjustment_spans AS spans
    ON spans.stock_code = daily_candles.stock_code
    AND daily_candles.trading_day >= spans.since
    AND daily_candles.trading_day < spans.until
LEFT JOIN adjustment_factors AS effects
    ON effects.stock_code = daily_candles.stock_code
    AND effects.effective_on = daily_candles.trading_day
-- Without the factors of a year nothing would be adjusted, and nobody would see it.
WHERE factors_are_made()

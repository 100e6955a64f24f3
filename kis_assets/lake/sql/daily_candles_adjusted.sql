-- Daily candles, adjusted to the share count of the newest stored day. factor is the product of the
-- factors of all later days in adjustment_factors, which has one for each split, reverse split,
-- bonus issue, capital reduction, rights issue, merger and spin-off. Prices are fractional KRW;
-- volume is divided by the factor. Cash dividends change nothing. daily_candles stay raw. On a day
-- without a trade open, high and low are null, so that no lowest price of a span is 0.
--
-- trading_day, stock_code: as in daily_candles
-- open: First price of the session times factor; null on a day without a trade (시가) [KRW]
-- high: Highest price times factor; null on a day without a trade (고가) [KRW]
-- low: Lowest price times factor; null on a day without a trade (저가) [KRW]
-- close: Close times factor (종가) [KRW]
-- volume: Shares traded on the whole day, divided by factor (거래량) [shares]
-- trading_value: as in daily_candles
-- factor: The day's prices are multiplied by this: the product of the steps of all later days
-- step: The factor of this day alone, for all earlier prices; 1 where nothing happened
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
-- If the factors of a year are missing, prices would stay unadjusted without a sign of it.
WHERE factors_are_made()

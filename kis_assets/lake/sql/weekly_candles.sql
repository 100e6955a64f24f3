-- One candle per stock and week, made from raw daily candles; trading_day is its last stored day.
-- After a split or a similar action within the week, the earlier days are put on the share count
-- of the last day, so that a candle never mixes two: is_rebased is true then. is_final is true if
-- none of its days will change.
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
-- is_rebased: Whether days before a split or similar action are on the share count after it
-- is_final: Whether all these days are final

SELECT
    max(trading_day) AS trading_day,
    stock_code,
    -- A day without a regular trade has no open; only its close and volume count.
    round(
        arg_min(open * factor, days.trading_day) FILTER (open > 0)
        / arg_max(factor, days.trading_day)
    )::BIGINT AS open,
    round(
        max(high * factor) FILTER (open > 0) / arg_max(factor, days.trading_day)
    )::BIGINT AS high,
    round(
        min(low * factor) FILTER (open > 0) / arg_max(factor, days.trading_day)
    )::BIGINT AS low,
    arg_max(close, days.trading_day) AS close,
    round(sum(volume / factor) * arg_max(factor, days.trading_day))::BIGINT AS volume,
    sum(trading_value)::BIGINT AS trading_value,
    count(*) AS days,
    min(factor) <> max(factor) AS is_rebased,
    bool_and(is_final) AS is_final
FROM (
    SELECT candles.*, coalesce(spans.factor, 1.0) AS factor
    FROM daily_candles AS candles
    LEFT JOIN adjustment_spans AS spans
        ON spans.stock_code = candles.stock_code
        AND candles.trading_day >= spans.since
        AND candles.trading_day < spans.until
    -- If the factors of a year were missing, nothing would be rebased, without a sign of it.
    WHERE factors_are_made()
) AS days
GROUP BY date_trunc('week', days.trading_day), stock_code

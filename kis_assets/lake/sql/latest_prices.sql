-- Each stock's row from its newest capture, within the ten newest stored days. session is the
-- session in which the price was made. regular_close is the official close of that day, from the
-- capture after the close or from a final candle.
--
-- stock_code, stock_name, price: as in price_snapshots
-- regular_close: The official close of trading_day, from the capture after the close, or else from
--     the final candle; null if neither is known, and for venues other than KRX (종가) [KRW]
-- session, change, change_rate, trading_day, captured_at, open, high, low: as in price_snapshots
-- volume, trading_value, market_cap, upper_limit, lower_limit: as in price_snapshots
-- base_price, previous_close, best_ask, best_bid, best_ask_volume: as in price_snapshots
-- best_bid_volume, total_ask_volume, total_bid_volume: as in price_snapshots
-- source, fetched_at: as in price_snapshots

SELECT
    latest.stock_code,
    latest.stock_name,
    latest.price,
    CASE
        WHEN contains(latest.source, '-') THEN NULL -- a venue other than KRX
        ELSE coalesce(latest.regular_close, final.close)
    END AS regular_close,
    latest.session,
    latest.change,
    latest.change_rate,
    latest.* EXCLUDE (
        stock_code, stock_name, price, regular_close, session, change, change_rate
    )
FROM (
    SELECT *
    FROM recent_price_snapshots()
    QUALIFY row_number() OVER (PARTITION BY stock_code ORDER BY captured_at DESC) = 1
) AS latest
LEFT JOIN (
    SELECT trading_day, stock_code, close
    FROM recent_daily_candles()
    WHERE is_final
) AS final USING (trading_day, stock_code)
ORDER BY stock_code

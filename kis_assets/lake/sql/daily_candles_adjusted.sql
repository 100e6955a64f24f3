-- Daily candles on the share count of the newest one stored. step is what the base price of a
-- day did to all prices before it: a recorded split, reverse split, bonus issue or capital
-- reduction by its ratio, else base price over previous close where they differ by more than a
-- tick (rights issues, mergers, spin-offs). factor is the product of all later steps. Prices
-- are fractional KRW; volume is divided by the factor. Cash dividends change nothing.
-- daily_candles stay raw. A close that is not final is nobody's previous close: after it, only
-- a mark of the daily chart or a recorded action makes a step.
--
-- trading_day, stock_code: as in daily_candles
-- open: First price of the session times factor; 0 on a day without a trade (시가) [KRW]
-- high: Highest price times factor; 0 on a day without a trade (고가) [KRW]
-- low: Lowest price times factor; 0 on a day without a trade (저가) [KRW]
-- close: Close times factor (종가) [KRW]
-- volume: Shares traded on the whole day, divided by factor (거래량) [shares]
-- trading_value: as in daily_candles
-- factor: What the day's prices are multiplied by: the product of the steps of all later days
-- step: What this day did to all prices before it; 1 where nothing happened
-- is_final: as in daily_candles

WITH market AS (
    -- Beyond the longest time that KRX was closed, months are missing that are not stored: that a
    -- price differs then says nothing.
    SELECT
        trading_day,
        trading_day - lag(trading_day) OVER (ORDER BY trading_day) > longest_closure()
            AS is_after_hole
    FROM (SELECT DISTINCT trading_day FROM daily_candles)
), stretches AS (
    SELECT trading_day, count(*) FILTER (is_after_hole) OVER (ORDER BY trading_day) AS stretch
    FROM market
), days AS (
    SELECT
        daily_candles.*,
        stretch,
        lag(close) OVER earlier AS previous_close,
        lag(is_final) OVER earlier AS previous_is_final,
        lag(stretch) OVER earlier AS previous_stretch,
        ex_flag NOT IN ('00', '02', '03', '05') OR revaluation <> '00' OR split_ratio > 0
            AS is_marked
    FROM daily_candles
    JOIN stretches USING (trading_day)
    WINDOW earlier AS (PARTITION BY stock_code ORDER BY daily_candles.trading_day)
), announced AS (
    SELECT effective_on, stock_code, kind, max(ratio) AS ratio
    FROM corporate_actions
    WHERE kind IN ('split', 'reverse_split', 'bonus_issue', 'capital_reduction') AND ratio > 0
    GROUP BY effective_on, stock_code, kind
), recorded AS (
    SELECT effective_on, stock_code, product(ratio) AS ratio
    FROM announced
    GROUP BY effective_on, stock_code
), noted AS (
    SELECT DISTINCT effective_on, stock_code, true AS is_noted
    FROM corporate_actions
    WHERE kind NOT IN ('cash_dividend', 'stock_dividend')
), steps AS (
    SELECT
        days.*,
        CASE
            WHEN previous_close IS NULL THEN 1.0
            WHEN stretch <> previous_stretch
                THEN CASE WHEN split_ratio > 0 THEN split_ratio ELSE 1.0 END
            -- An announced day that moved is no action on the day it was announced for.
            WHEN abs(base_price - previous_close)
                <= tick_size(greatest(base_price, previous_close), trading_day) THEN 1.0
            -- Back from a halt, the base is set by an auction within half and twice the ratio's.
            WHEN base_price * recorded.ratio / previous_close BETWEEN 0.45 AND 2.2
                THEN 1.0 / recorded.ratio
            WHEN previous_is_final THEN base_price / previous_close
            WHEN split_ratio > 0 THEN split_ratio
            WHEN is_marked OR is_noted THEN base_price / previous_close
            ELSE 1.0
        END AS step
    FROM days
    LEFT JOIN recorded
        ON recorded.stock_code = days.stock_code AND recorded.effective_on = days.trading_day
    LEFT JOIN noted
        ON noted.stock_code = days.stock_code AND noted.effective_on = days.trading_day
), factors AS (
    SELECT
        *,
        coalesce(product(step) OVER (
            PARTITION BY stock_code ORDER BY trading_day
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
        ), 1.0) AS factor
    FROM steps
)
SELECT
    trading_day,
    stock_code,
    open * factor AS open,
    high * factor AS high,
    low * factor AS low,
    close * factor AS close,
    round(volume / factor)::BIGINT AS volume,
    trading_value,
    factor,
    step,
    is_final
FROM factors

-- Adjusted daily closes with dividends reinvested (총수익): each cash dividend buys more of the stock
-- at the close of its ex-dividend day. The dividend of a day is the sum of the cash_dividend
-- amounts in corporate_actions that took effect on it. A dividend whose amount is not announced
-- counts as 0, and taxes are ignored. Amounts are on the share count of their day, as raw closes
-- are.
--
-- trading_day, stock_code: as in daily_candles
-- close: Adjusted close, as in daily_candles_adjusted (수정종가) [KRW]
-- dividend: Cash dividends a share that took effect on the day, on its share count (현금배당) [KRW]
-- growth: Number of shares that one share of the first stored day has become by reinvesting
-- total_return: close times growth; the ratio of two days is the total return [KRW]

WITH dividends AS (
    SELECT effective_on AS trading_day, stock_code, sum(amount) AS dividend
    FROM corporate_actions
    WHERE kind = 'cash_dividend' AND amount > 0
    GROUP BY effective_on, stock_code
), days AS (
    SELECT
        adjusted.trading_day,
        adjusted.stock_code,
        adjusted.close,
        coalesce(dividend, 0) AS dividend,
        coalesce(dividend, 0) * adjusted.factor / nullif(adjusted.close, 0) AS yield
    FROM daily_candles_adjusted AS adjusted
    LEFT JOIN dividends
        ON dividends.stock_code = adjusted.stock_code
        AND dividends.trading_day = adjusted.trading_day
), grown AS (
    SELECT
        *,
        product(1 + coalesce(yield, 0)) OVER (
            PARTITION BY stock_code ORDER BY trading_day
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS growth
    FROM days
)
SELECT
    trading_day,
    stock_code,
    close,
    dividend,
    growth,
    close * growth AS total_return
FROM grown

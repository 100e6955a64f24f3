-- Spans of days in which all prices of a stock have the same factor, from adjustment_factors. A
-- span ends at the next factor. After its last factor a stock has no span, and the factor is 1.
--
-- stock_code: as in adjustment_factors
-- since: First day of the span
-- until: The day after the span, which is the day of the next factor
-- factor: Prices of the span are multiplied by this: the product of all later factors

SELECT
    stock_code,
    lag(effective_on, 1, DATE '0001-01-01') OVER by_day AS since,
    effective_on AS until,
    product(factor) OVER (by_day ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS factor
FROM adjustment_factors
WINDOW by_day AS (PARTITION BY stock_code ORDER BY effective_on)

-- From one day of effect to the next all prices of a stock have the same factor: these spans, out
-- of adjustment_factors. After its last one a stock has none, and the factor is 1.
--
-- stock_code: as in adjustment_factors
-- since: First day of the span
-- until: The day after its last one: that of the next factor
-- factor: What prices of the span are multiplied by: the product of all later factors

SELECT
    stock_code,
    lag(effective_on, 1, DATE '0001-01-01') OVER by_day AS since,
    effective_on AS until,
    product(factor) OVER (by_day ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS factor
FROM adjustment_factors
WINDOW by_day AS (PARTITION BY stock_code ORDER BY effective_on)

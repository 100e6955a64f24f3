-- Facts of each stock that is listed today, one row per stock: the columns to screen by. Prices are
-- the newest stored ones. Returns and extremes are of adjusted closes. Flows are of the newest
-- published sessions, statements of the newest fiscal year. A fact that is not stored is null. For
-- candles, flows and short sales only the newest stored sessions without a gap count: if they are
-- fewer than 20, a sum or mean of 20 sessions covers only those.
--
-- stock_code, stock_name: as in stock_master
-- english_name: as in stock_info
-- market, security_type: as in stock_master
-- sector: Index sector: the small class, or else the middle class (지수업종)
-- industry: as in stock_info
-- is_halted, is_administrative, market_warning, is_spac: as in stock_master
-- in_kospi200: Whether it is in KOSPI 200
-- in_kosdaq150, listed_on, listed_shares: as in stock_master
-- price: The newest captured price, or else the newest close (현재가) [KRW]
-- change_rate: Change of the price since the previous close [%]
-- trading_value: Value traded on the newest day (거래대금) [KRW]
-- market_cap: Price times listed shares (시가총액) [KRW]
-- return_5d, return_20d, return_60d, return_252d: Adjusted return over this number of sessions [%]
-- trading_value_20d: Mean daily trading value of 20 sessions [KRW]
-- volume_ratio: Volume of the newest day divided by the mean of the 20 sessions before
-- week52_high, week52_low: Highest and lowest adjusted price of 252 sessions, without days that have
--     no trade; null unless all 252 are stored, or all since the listing of a newer stock. The
--     figures of KIS are in valuations [KRW]
-- from_high: Newest close divided by week52_high, minus 1 [%]
-- per, pbr, eps, bps, foreign_rate: as in valuations
-- dividend_yield: Cash dividends of 365 days in percent of the price (배당수익률) [%]
-- individual_net_20d, foreign_net_20d, institution_net_20d: Bought minus sold in 20 sessions [KRW]
-- short_ratio_20d: Mean share of short sales in the volume of 20 sessions (공매도 비중) [%]
-- loan_balance: Lent shares (대차잔고) [shares]
-- credit_balance: Shares bought on credit (융자잔고) [shares]
-- revenue, operating_profit, net_income, roe, debt_ratio: as in financial_statements
-- candle_day: The newest day of the candles
-- flow_day: The newest day of the flows

WITH stored AS (
    SELECT DISTINCT 'candles' AS kind, trading_day FROM recent_daily_candles()
    UNION ALL
    SELECT DISTINCT 'flows', trading_day FROM recent_investor_flows()
    UNION ALL
    SELECT DISTINCT 'shorts', trading_day FROM recent_short_sales()
), spans AS (
    SELECT kind, min(trading_day) AS first_day, max(trading_day) AS last_day
    FROM stored
    GROUP BY kind
), counted AS (
    SELECT
        kind,
        trading_day,
        row_number() OVER (PARTITION BY kind ORDER BY trading_day DESC) - 1 AS ago,
        bool_or(is_stored) AS is_stored
    FROM (
        SELECT kind, trading_day, true AS is_stored FROM stored
        UNION ALL
        SELECT kind, day, false
        FROM spans JOIN market_days ON is_open AND day BETWEEN first_day AND last_day
    )
    GROUP BY kind, trading_day
), sessions AS (
    -- 20 stored sessions with a gap cover more than 20, and a split in the gap would be unknown:
    -- only rows after the newest gap count.
    SELECT kind, trading_day, ago
    FROM counted
    QUALIFY ago < coalesce(min(ago) FILTER (NOT is_stored) OVER (PARTITION BY kind), 10_000)
), year AS (
    -- Null while fewer sessions are stored.
    SELECT CASE WHEN count(*) = 252 THEN min(trading_day) END AS first_day
    FROM sessions
    WHERE kind = 'candles' AND ago < 252
), days AS (
    SELECT
        candles.stock_code,
        ago,
        close * coalesce(spans.factor, 1.0) AS close,
        high * coalesce(spans.factor, 1.0) AS high,
        low * coalesce(spans.factor, 1.0) AS low,
        volume / coalesce(spans.factor, 1.0) AS volume,
        trading_value,
        open > 0 AS has_traded,
        candles.trading_day
    FROM recent_daily_candles() AS candles
    JOIN sessions ON sessions.kind = 'candles' AND sessions.trading_day = candles.trading_day
    LEFT JOIN adjustment_spans AS spans
        ON spans.stock_code = candles.stock_code
        AND candles.trading_day >= spans.since
        AND candles.trading_day < spans.until
    WHERE factors_are_made()
), moves AS (
    SELECT
        stock_code,
        min(trading_day) FILTER (ago < 252) AS first_day,
        -- A halted stock has a row for each session, too.
        count(*) FILTER (ago < 252) = 1 + max(ago) FILTER (ago < 252) AS is_whole,
        max(trading_day) AS candle_day,
        max(close) FILTER (ago = 0) AS close,
        max(trading_value) FILTER (ago = 0) AS trading_value,
        100 * (max(close) FILTER (ago = 0) / nullif(max(close) FILTER (ago = 1), 0) - 1)
            AS change_rate,
        100 * (max(close) FILTER (ago = 0) / nullif(max(close) FILTER (ago = 5), 0) - 1)
            AS return_5d,
        100 * (max(close) FILTER (ago = 0) / nullif(max(close) FILTER (ago = 20), 0) - 1)
            AS return_20d,
        100 * (max(close) FILTER (ago = 0) / nullif(max(close) FILTER (ago = 60), 0) - 1)
            AS return_60d,
        100 * (max(close) FILTER (ago = 0) / nullif(max(close) FILTER (ago = 252), 0) - 1)
            AS return_252d,
        avg(trading_value) FILTER (ago < 20) AS trading_value_20d,
        max(volume) FILTER (ago = 0) / nullif(avg(volume) FILTER (ago BETWEEN 1 AND 20), 0)
            AS volume_ratio,
        -- A day without a trade has 0 as its high and low.
        max(high) FILTER (has_traded AND ago < 252) AS high,
        min(low) FILTER (has_traded AND ago < 252) AS low
    FROM days
    GROUP BY stock_code
), extremes AS (
    SELECT stock_code, high AS week52_high, low AS week52_low
    FROM moves
    JOIN stocks USING (stock_code)
    JOIN year ON is_whole AND moves.first_day <= greatest(year.first_day, listed_on)
), flows AS (
    SELECT
        stock_code,
        max(trading_day) AS flow_day,
        -- A sum of BIGINT is HUGEINT, which data frames cannot hold.
        sum(net_value) FILTER (investor = 'individual')::BIGINT AS individual_net_20d,
        sum(net_value) FILTER (starts_with(investor, 'foreign_'))::BIGINT AS foreign_net_20d,
        (sum(net_value) FILTER (
            investor <> 'individual'
            AND NOT starts_with(investor, 'foreign_')
            AND NOT starts_with(investor, 'other_')
        ))::BIGINT AS institution_net_20d
    FROM recent_investor_flows()
    WHERE trading_day IN (SELECT trading_day FROM sessions WHERE kind = 'flows' AND ago < 20)
    GROUP BY stock_code
), shorts AS (
    SELECT stock_code, avg(short_ratio) AS short_ratio_20d
    FROM recent_short_sales()
    WHERE trading_day IN (SELECT trading_day FROM sessions WHERE kind = 'shorts' AND ago < 20)
    GROUP BY stock_code
), loans AS (
    SELECT stock_code, arg_max(loan_balance, trading_day) AS loan_balance
    FROM recent_stock_loans()
    GROUP BY stock_code
), credit AS (
    SELECT stock_code, arg_max(loan_balance, trading_day) AS credit_balance
    FROM recent_credit_balances()
    GROUP BY stock_code
), valued AS (
    SELECT stock_code, per, pbr, eps, bps, foreign_rate
    FROM recent_valuations()
    QUALIFY row_number() OVER (PARTITION BY stock_code ORDER BY captured_at DESC) = 1
), accounts AS (
    SELECT stock_code, revenue, operating_profit, net_income, roe, debt_ratio
    FROM recent_financial_statements()
    WHERE period = 'annual'
    QUALIFY row_number() OVER (
        PARTITION BY stock_code ORDER BY fiscal_month DESC, asked_month DESC
    ) = 1
), paid AS (
    SELECT stock_code, sum(amount) AS dividends
    FROM corporate_actions
    WHERE kind = 'cash_dividend'
        AND effective_on > (SELECT last_day FROM spans WHERE kind = 'candles') - 365
        AND effective_on <= (SELECT last_day FROM spans WHERE kind = 'candles')
    GROUP BY stock_code
)
SELECT
    stocks.stock_code,
    stocks.stock_name,
    stocks.english_name,
    stocks.market,
    stocks.security_type,
    stocks.sector,
    stocks.industry,
    stocks.is_halted,
    stocks.is_administrative,
    stocks.market_warning,
    stocks.is_spac,
    stocks.kospi200_sector <> '' AND stocks.kospi200_sector <> '0' AS in_kospi200,
    stocks.in_kosdaq150,
    stocks.listed_on,
    stocks.listed_shares,
    coalesce(latest.price, moves.close) AS price,
    coalesce(latest.change_rate, moves.change_rate) AS change_rate,
    coalesce(latest.trading_value, moves.trading_value) AS trading_value,
    coalesce(latest.price, moves.close) * stocks.listed_shares AS market_cap,
    moves.return_5d,
    moves.return_20d,
    moves.return_60d,
    moves.return_252d,
    moves.trading_value_20d,
    moves.volume_ratio,
    extremes.week52_high,
    extremes.week52_low,
    100 * (moves.close / extremes.week52_high - 1) AS from_high,
    valued.per,
    valued.pbr,
    valued.eps,
    valued.bps,
    valued.foreign_rate,
    100 * paid.dividends / coalesce(latest.price, moves.close) AS dividend_yield,
    flows.individual_net_20d,
    flows.foreign_net_20d,
    flows.institution_net_20d,
    shorts.short_ratio_20d,
    loans.loan_balance,
    credit.credit_balance,
    accounts.revenue,
    accounts.operating_profit,
    accounts.net_income,
    accounts.roe,
    accounts.debt_ratio,
    moves.candle_day,
    flows.flow_day
FROM stocks
LEFT JOIN latest_prices AS latest USING (stock_code)
LEFT JOIN moves USING (stock_code)
LEFT JOIN extremes USING (stock_code)
LEFT JOIN valued USING (stock_code)
LEFT JOIN flows USING (stock_code)
LEFT JOIN shorts USING (stock_code)
LEFT JOIN loans USING (stock_code)
LEFT JOIN credit USING (stock_code)
LEFT JOIN accounts USING (stock_code)
LEFT JOIN paid USING (stock_code)
ORDER BY stocks.stock_code

-- The condition of each table on each session since the table's first, with the reason: available,
-- degraded (an error check fails, or a stock could not be fetched), pending (the day is not over,
-- or stored rows are not final) or missing. rows is the number of stored rows, null if nothing is
-- stored.
--
-- table_name: The table
-- trading_day: The day of the session, in Seoul
-- condition: available, degraded, pending or missing
-- reason: Why it is degraded, pending or missing; on an available day the failed warnings, if there
--     are any
-- rows: Number of stored rows; null if nothing is stored
-- stored_at: When a run last stored them; null if nothing is stored

WITH moment AS (
    -- In a replay: the replayed moment.
    SELECT coalesce(getvariable('replay_at')::TIMESTAMPTZ, now()) AS now_at
), known AS (
    SELECT
        table_name,
        trading_day,
        max(rows) FILTER (check_name = 'every_stock_is_accounted_for') AS rows,
        max(checked_at) FILTER (check_name = 'every_stock_is_accounted_for') AS stored_at,
        string_agg(check_name || ' fails for ' || failing_rows, '; ' ORDER BY check_name)
            FILTER (NOT passed AND severity = 'ERROR') AS wrong,
        string_agg(check_name || ' fails for ' || failing_rows, '; ' ORDER BY check_name)
            FILTER (NOT passed AND severity <> 'ERROR') AS odd
    FROM quality
    -- Their partitions are years, so no session of them can be missing.
    WHERE table_name NOT IN ('market_days', 'adjustment_factors')
    GROUP BY table_name, trading_day
), calendar AS (
    SELECT
        day AS trading_day,
        opens_at,
        closes_at,
        lead(opens_at) OVER (ORDER BY day) AS next_opens_at,
        lead(opens_at, 3) OVER (ORDER BY day) AS third_opens_at
    FROM market_days
    WHERE is_open
), provisional AS (
    SELECT 'daily_candles' AS table_name, trading_day, count(*) AS not_final
    FROM daily_candles
    WHERE NOT is_final
    GROUP BY trading_day
), years AS (
    SELECT DISTINCT year(day) AS year FROM market_days
), sessions AS (
    -- The last trade is four and a half hours after the close; minutes settle 5 minutes later.
    SELECT
        trading_day,
        closes_at + INTERVAL 270 MINUTE AS over_at,
        next_opens_at,
        third_opens_at,
        closes_at + INTERVAL 275 MINUTE AS minutes_final_at
    FROM calendar, moment
    WHERE opens_at <= now_at
    UNION ALL
    -- For a year that is not in market_days: the days that appear in `quality`, each with an end
    -- at 20:00 in Seoul, which is 11:00 in UTC.
    SELECT DISTINCT
        trading_day,
        timezone('UTC', trading_day + INTERVAL 660 MINUTE),
        timezone('UTC', trading_day + INTERVAL 1440 MINUTE),
        timezone('UTC', trading_day + INTERVAL 7200 MINUTE),
        timezone('UTC', trading_day + INTERVAL 665 MINUTE)
    FROM known
    WHERE year(trading_day) NOT IN (SELECT year FROM years)
), since AS (
    SELECT table_name, min(trading_day) AS first_day FROM known GROUP BY table_name
), days AS (
    SELECT
        since.table_name,
        sessions.trading_day,
        next_opens_at,
        minutes_final_at,
        rows,
        stored_at,
        wrong,
        odd,
        not_final,
        row_number() OVER newest_first AS sessions_ago,
        -- KRX publishes a day on the next morning; flows and loans are available by 10:00 of a
        -- later one.
        CASE
            WHEN since.table_name = 'krx_daily' THEN next_opens_at - INTERVAL 30 MINUTE
            WHEN published_after(since.table_name) = 1 THEN next_opens_at + INTERVAL 60 MINUTE
            WHEN published_after(since.table_name) > 1 THEN third_opens_at + INTERVAL 60 MINUTE
            ELSE over_at + INTERVAL 60 MINUTE
        END AS due_at
    FROM since
    JOIN sessions ON sessions.trading_day >= since.first_day
    LEFT JOIN known
        ON known.table_name = since.table_name AND known.trading_day = sessions.trading_day
    LEFT JOIN provisional
        ON provisional.table_name = since.table_name
        AND provisional.trading_day = sessions.trading_day
    WINDOW newest_first AS (
        PARTITION BY since.table_name ORDER BY sessions.trading_day DESC
    )
), judged AS (
    SELECT
        *,
        CASE
            -- A day may have no corporate action, and a recorded day no gap.
            WHEN rows > 0 OR (
                rows = 0 AND table_name IN ('corporate_actions', 'stream_gaps')
            ) THEN CASE
                WHEN wrong IS NOT NULL THEN 'degraded'
                WHEN not_final > 0 THEN 'pending'
                WHEN table_name = 'minute_candles' AND stored_at < minutes_final_at THEN 'pending'
                ELSE 'available'
            END
            WHEN due_at IS NULL OR now_at < due_at THEN 'pending'
            ELSE 'missing'
        END AS condition
    FROM days, moment
)
SELECT
    table_name,
    trading_day,
    condition,
    CASE condition
        WHEN 'degraded' THEN wrong
        WHEN 'pending' THEN CASE
            WHEN not_final > 0 AND (next_opens_at IS NULL OR now_at < next_opens_at)
                THEN not_final || ' rows are not final: close, high and low may be the '
                    || 'after-market''s; final when fetched at 06:00 of '
                    || coalesce(
                        strftime(timezone('Asia/Seoul', next_opens_at), '%Y-%m-%d'),
                        'the next session'
                    )
                    || ' or later'
            WHEN not_final > 0
                THEN not_final || ' rows were stored before they were final '
                    || 'and not fetched again since: run kis-assets repair'
            WHEN rows > 0 THEN 'stored before trading ended at 20:00: fetch it again'
            WHEN published_after(table_name) = 1 THEN 'published on the morning of the next session'
            WHEN published_after(table_name) > 1 THEN 'published three sessions later'
            ELSE 'the day is not over'
        END
        WHEN 'missing' THEN CASE
            WHEN table_name IN live_tables()
                THEN 'was not captured; live data is not available later'
            WHEN table_name = 'minute_candles' AND sessions_ago > sessions_kept()
                THEN 'was not fetched in time; KIS keeps ' || sessions_kept() || ' sessions'
            ELSE 'was not fetched; it is still available'
        END
        ELSE coalesce('worth a look: ' || odd, '')
    END AS reason,
    rows,
    stored_at
FROM judged
ORDER BY table_name, trading_day

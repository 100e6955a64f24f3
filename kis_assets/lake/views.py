"""The views of market.duckdb beside one a table: name to SQL, built in this order.

The comment lines on top become the view's comment in DuckDB. `recent(table)` stands for the rows of
the newest stored units only: a view that wants the newest rows must not open ten years of files.
"""

from __future__ import annotations

from kis_assets.exchange import calendar, prices
from kis_assets.tables import LEVELS, MINUTE_CANDLES, TABLES


def _levels() -> str:
    structs = ", ".join(
        f"{{'side': '{side}', 'level': {level}, 'price': {side}_price_{level}, "
        f"'volume': {side}_volume_{level}}}"
        for side in ("ask", "bid")
        for level in range(1, LEVELS + 1)
    )
    return f"""
        -- Order books in long form: a row is one level of a side, 1 the best. Prices KRW.
        SELECT trading_day, captured_at, stock_code,
               step.side AS side, step.level AS level, step.price AS price,
               step.volume AS volume
        FROM (SELECT trading_day, captured_at, stock_code, unnest([{structs}]) AS step
              FROM order_books)
        WHERE step.price IS NOT NULL
    """


def _minutes(length: int) -> str:
    return f"""
        -- Candles of {length} minutes, made from minutes; labelled by their start. The closing
        -- auction is a candle of its own, and none joins two sessions. Intervals without a trade
        -- have no row.
        SELECT trading_day, time_bucket(INTERVAL '{length} minutes', started_at) AS started_at,
               stock_code, session, arg_min(open, m.started_at) AS open, max(high) AS high,
               min(low) AS low,
               arg_max(close, m.started_at) AS close, sum(volume)::BIGINT AS volume,
               sum(trading_value)::BIGINT AS trading_value
        FROM minute_candles AS m
        GROUP BY trading_day, time_bucket(INTERVAL '{length} minutes', started_at), stock_code,
                 session
    """


def _days(period: str) -> str:
    # A day without a regular trade has no open; it decides nothing but close and volume.
    return f"""
        -- One candle a {period} and stock, made from raw daily ones; trading_day is the last day
        -- that is in it. A {period} with a split in it mixes two axes: see daily_candles_adjusted.
        -- is_final says that none of its days will change.
        SELECT max(trading_day) AS trading_day, stock_code,
               coalesce(arg_min(open, c.trading_day) FILTER (open > 0), 0) AS open,
               coalesce(max(high) FILTER (open > 0), 0) AS high,
               coalesce(min(low) FILTER (open > 0), 0) AS low,
               arg_max(close, c.trading_day) AS close, sum(volume)::BIGINT AS volume,
               sum(trading_value)::BIGINT AS trading_value, count(*) AS days,
               bool_and(is_final) AS is_final
        FROM daily_candles AS c
        GROUP BY date_trunc('{period}', c.trading_day), stock_code
    """


_TICK = prices.tick_sql("greatest(base_price, previous_close)", "trading_day")

_ADJUSTED = f"""
    -- Daily candles on the share count of the newest one stored. step is what the base price of a
    -- day did to all prices before it: a recorded split, reverse split, bonus issue or capital
    -- reduction by its ratio, else base price over previous close where they differ by more than a
    -- tick (rights issues, mergers, spin-offs). factor is the product of all later steps. Prices
    -- are fractional KRW; volume is divided by the factor. Cash dividends change nothing.
    -- daily_candles stay raw. A close that is not final is nobody's previous close: after it, only
    -- a mark of the daily chart or a recorded action makes a step.
    WITH market AS (
        SELECT trading_day, trading_day - lag(trading_day) OVER (ORDER BY trading_day)
                                > {calendar.LONGEST_CLOSURE.days} AS is_after_hole
        FROM (SELECT DISTINCT trading_day FROM daily_candles)
    ), stretches AS (
        SELECT trading_day, count(*) FILTER (is_after_hole) OVER (ORDER BY trading_day) AS stretch
        FROM market
    ), days AS (
        SELECT daily_candles.*, stretch, lag(close) OVER earlier AS previous_close,
               lag(is_final) OVER earlier AS previous_is_final,
               lag(stretch) OVER earlier AS previous_stretch,
               ex_flag NOT IN ('00', '02', '03', '05') OR revaluation <> '00' OR split_ratio > 0
                   AS is_marked
        FROM daily_candles JOIN stretches USING (trading_day)
        WINDOW earlier AS (PARTITION BY stock_code ORDER BY daily_candles.trading_day)
    ), announced AS (
        SELECT effective_on, stock_code, kind, max(ratio) AS ratio FROM corporate_actions
        WHERE kind IN ('split', 'reverse_split', 'bonus_issue', 'capital_reduction')
          AND ratio > 0
        GROUP BY effective_on, stock_code, kind
    ), recorded AS (
        SELECT effective_on, stock_code, product(ratio) AS ratio FROM announced
        GROUP BY effective_on, stock_code
    ), noted AS (
        SELECT DISTINCT effective_on, stock_code, true AS is_noted FROM corporate_actions
        WHERE kind NOT IN ('cash_dividend', 'stock_dividend')
    ), steps AS (
        SELECT days.*, CASE
            WHEN previous_close IS NULL THEN 1.0
            WHEN stretch <> previous_stretch
                THEN CASE WHEN split_ratio > 0 THEN split_ratio ELSE 1.0 END
            -- An announced day that moved is no action on the day it was announced for.
            WHEN abs(base_price - previous_close)
                 <= {_TICK} THEN 1.0
            -- Back from a halt, the base is set by an auction within half and twice the ratio's.
            WHEN base_price * recorded.ratio / previous_close BETWEEN 0.45 AND 2.2
                THEN 1.0 / recorded.ratio
            WHEN previous_is_final THEN base_price / previous_close
            WHEN split_ratio > 0 THEN split_ratio
            WHEN is_marked OR is_noted THEN base_price / previous_close
            ELSE 1.0 END AS step
        FROM days LEFT JOIN recorded
          ON recorded.stock_code = days.stock_code AND recorded.effective_on = days.trading_day
        LEFT JOIN noted
          ON noted.stock_code = days.stock_code AND noted.effective_on = days.trading_day
    ), factors AS (
        SELECT *, coalesce(product(step) OVER (
            PARTITION BY stock_code ORDER BY trading_day
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 1.0) AS factor
        FROM steps
    )
    SELECT trading_day, stock_code, open * factor AS open, high * factor AS high,
           low * factor AS low, close * factor AS close,
           round(volume / factor)::BIGINT AS volume, trading_value, factor, step, is_final
    FROM factors
"""

_NOW = "coalesce(getvariable('replay_at')::TIMESTAMPTZ, now())"

_LIVE = tuple(table.name for table in TABLES.values() if table.live)
_SESSIONS_KEPT = MINUTE_CANDLES.sessions_kept

_CONDITION = f"""
    -- For each table and each session since the table's first: available, degraded (an error stands
    -- in it, or a stock failed), pending (the day is not over, or what is stored is not final) or
    -- missing; and why. rows is how many there are, null where nothing was stored.
    WITH known AS (
        SELECT table_name, trading_day,
               max(rows) FILTER (check_name = 'every_stock_is_accounted_for') AS rows,
               max(checked_at) FILTER (check_name = 'every_stock_is_accounted_for') AS stored_at,
               string_agg(check_name || ' fails for ' || failing_rows, '; ' ORDER BY check_name)
                   FILTER (NOT passed AND severity = 'ERROR') AS wrong,
               string_agg(check_name || ' fails for ' || failing_rows, '; ' ORDER BY check_name)
                   FILTER (NOT passed AND severity <> 'ERROR') AS odd
        FROM quality WHERE table_name <> 'market_days' GROUP BY table_name, trading_day
    ), calendar AS (
        SELECT day AS trading_day, opens_at, closes_at,
               lead(opens_at) OVER (ORDER BY day) AS next_opens_at
        FROM market_days WHERE is_open
    ), provisional AS (
        SELECT 'daily_candles' AS table_name, trading_day, count(*) AS not_final
        FROM daily_candles WHERE NOT is_final GROUP BY trading_day
    ), years AS (
        SELECT DISTINCT year(day) AS year FROM market_days
    ), sessions AS (
        SELECT trading_day, closes_at + INTERVAL 270 MINUTE AS over_at, next_opens_at,
               closes_at + INTERVAL 275 MINUTE AS minutes_final_at
        FROM calendar WHERE opens_at <= {_NOW}
        UNION ALL
        -- Of a year that market_days does not have, the days of which something is known.
        SELECT DISTINCT trading_day, timezone('UTC', trading_day + INTERVAL 660 MINUTE),
               timezone('UTC', trading_day + INTERVAL 1440 MINUTE),
               timezone('UTC', trading_day + INTERVAL 665 MINUTE)
        FROM known WHERE year(trading_day) NOT IN (SELECT year FROM years)
    ), since AS (
        SELECT table_name, min(trading_day) AS first_day FROM known GROUP BY table_name
    ), days AS (
        SELECT since.table_name, sessions.trading_day, next_opens_at, minutes_final_at, rows,
               stored_at, wrong, odd, not_final, row_number() OVER newest_first AS sessions_ago,
               CASE WHEN since.table_name = 'krx_daily' THEN next_opens_at - INTERVAL 30 MINUTE
                    ELSE over_at + INTERVAL 60 MINUTE END AS due_at
        FROM since JOIN sessions ON sessions.trading_day >= since.first_day
        LEFT JOIN known ON known.table_name = since.table_name
                       AND known.trading_day = sessions.trading_day
        LEFT JOIN provisional ON provisional.table_name = since.table_name
                             AND provisional.trading_day = sessions.trading_day
        WINDOW newest_first AS (
            PARTITION BY since.table_name ORDER BY sessions.trading_day DESC)
    ), judged AS (
        SELECT *, CASE
            WHEN rows > 0 OR (rows = 0 AND table_name = 'corporate_actions') THEN CASE
                WHEN wrong IS NOT NULL THEN 'degraded'
                WHEN not_final > 0 THEN 'pending'
                WHEN table_name = 'minute_candles' AND stored_at < minutes_final_at THEN 'pending'
                ELSE 'available' END
            WHEN due_at IS NULL OR {_NOW} < due_at THEN 'pending'
            ELSE 'missing' END AS condition
        FROM days
    )
    SELECT table_name, trading_day, condition, CASE condition
            WHEN 'degraded' THEN wrong
            WHEN 'pending' THEN CASE
                WHEN not_final > 0 AND {_NOW} < coalesce(next_opens_at, {_NOW} + INTERVAL 1 DAY)
                    THEN not_final || ' rows are not final: close, high and low may be the '
                         || 'after-market''s; final when fetched at 06:00 of '
                         || coalesce(strftime(timezone('Asia/Seoul', next_opens_at), '%Y-%m-%d'),
                                     'the next session') || ' or later'
                WHEN not_final > 0 THEN not_final || ' rows were stored before they were final '
                                        || 'and never again: run kis-assets repair'
                WHEN rows > 0 THEN 'stored before trading ended at 20:00: to be fetched again'
                ELSE 'the day is not over' END
            WHEN 'missing' THEN CASE
                WHEN table_name IN {_LIVE} THEN 'was not captured; live data cannot be had later'
                WHEN table_name = 'minute_candles' AND sessions_ago > {_SESSIONS_KEPT}
                    THEN 'was not fetched in time; KIS keeps {_SESSIONS_KEPT} sessions'
                ELSE 'was not fetched; it can be had' END
            ELSE coalesce('worth a look: ' || odd, '') END AS reason,
           rows, stored_at
    FROM judged ORDER BY table_name, trading_day
"""

VIEWS: dict[str, str] = {
    "latest_prices": """
        -- Each stock's row of the newest capture that has it, within the ten newest stored days.
        -- session says in which session its price was made; regular_close is the official close of
        -- that day, from the capture after the close or from a final candle.
        SELECT latest.stock_code, latest.stock_name, latest.price,
               CASE WHEN contains(latest.source, '-') THEN NULL  -- another venue than KRX
                    ELSE coalesce(latest.regular_close, final.close) END AS regular_close,
               latest.session, latest.change, latest.change_rate,
               latest.* EXCLUDE (stock_code, stock_name, price, regular_close, session, change,
                                 change_rate)
        FROM (SELECT * FROM recent(price_snapshots)
              QUALIFY row_number() OVER (PARTITION BY stock_code ORDER BY captured_at DESC) = 1
             ) AS latest
        LEFT JOIN (SELECT trading_day, stock_code, close FROM recent(daily_candles) WHERE is_final
                  ) AS final USING (trading_day, stock_code)
        ORDER BY stock_code
    """,
    "order_book_levels": _levels(),
    "candles_5m": _minutes(5),
    "candles_30m": _minutes(30),
    "weekly_candles": _days("week"),
    "monthly_candles": _days("month"),
    "daily_candles_adjusted": _ADJUSTED,
    "dataset_condition": _CONDITION,
}

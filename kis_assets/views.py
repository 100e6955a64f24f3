"""The views of market.duckdb beside one a table: name to SQL, built in this order.

The comment lines on top become the view's comment in DuckDB. `recent(table)` stands for the rows of
the newest stored units only: a view that wants the newest rows must not open ten years of files.
"""

from __future__ import annotations

from kis_assets.tables import LEVELS


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
        -- auction is a candle of its own. Intervals without a trade have no row.
        SELECT trading_day, time_bucket(INTERVAL '{length} minutes', started_at) AS started_at,
               stock_code, arg_min(open, m.started_at) AS open, max(high) AS high, min(low) AS low,
               arg_max(close, m.started_at) AS close, sum(volume)::BIGINT AS volume,
               sum(trading_value)::BIGINT AS trading_value
        FROM minute_candles AS m
        GROUP BY trading_day, time_bucket(INTERVAL '{length} minutes', started_at), stock_code
    """


def _days(period: str) -> str:
    # A day without a trade has open, high and low 0; it decides nothing but the close.
    return f"""
        -- One candle a {period} and stock, made from raw daily ones; trading_day is the last day
        -- that is in it. A {period} with a split in it mixes two axes: see daily_candles_adjusted.
        SELECT max(trading_day) AS trading_day, stock_code,
               coalesce(arg_min(open, c.trading_day) FILTER (volume > 0), 0) AS open,
               coalesce(max(high) FILTER (volume > 0), 0) AS high,
               coalesce(min(low) FILTER (volume > 0), 0) AS low,
               arg_max(close, c.trading_day) AS close, sum(volume)::BIGINT AS volume,
               sum(trading_value)::BIGINT AS trading_value, count(*) AS days
        FROM daily_candles AS c
        GROUP BY date_trunc('{period}', c.trading_day), stock_code
    """


def _tick(price: str, day: str) -> str:
    """SQL for the tick of a price on a day: KRX's table since 2023-01-25, and the one before it.

    The older table had smaller ticks on KOSDAQ; the larger ones are as good for what it is for.
    """

    def table(steps: dict[int, int], last: int) -> str:
        whens = " ".join(f"WHEN {price} < {bound} THEN {tick}" for bound, tick in steps.items())
        return f"CASE {whens} ELSE {last} END"

    now = {2000: 1, 5000: 5, 20000: 10, 50000: 50, 200000: 100, 500000: 500}
    before = {1000: 1, 5000: 5, 10000: 10, 50000: 50, 100000: 100, 500000: 500}
    return (
        f"CASE WHEN {day} >= DATE '2023-01-25' THEN {table(now, 1000)} "
        f"ELSE {table(before, 1000)} END"
    )


SAME_SHARES = 15
"""Two candles of a stock further apart than so many days have months between them that are not
stored: that its price differs says nothing. KRX was never closed for longer."""

_ADJUSTED = f"""
    -- Daily candles on the share count of the newest one stored. step is what the base price of a
    -- day did to all prices before it: a recorded split, reverse split or bonus issue by its ratio,
    -- else base price over previous close where they differ by more than a tick (rights issues,
    -- reductions, spin-offs). factor is the product of all later steps. Prices are fractional KRW;
    -- volume is divided by the factor. Cash dividends change nothing. daily_candles stay raw.
    WITH days AS (
        SELECT *, lag(close) OVER earlier AS previous_close,
               lag(trading_day) OVER earlier AS previous_day
        FROM daily_candles
        WINDOW earlier AS (PARTITION BY stock_code ORDER BY trading_day)
    ), announced AS (
        SELECT effective_on, stock_code, kind, max(ratio) AS ratio FROM corporate_actions
        WHERE kind IN ('split', 'reverse_split', 'bonus_issue') AND ratio > 0
        GROUP BY effective_on, stock_code, kind
    ), recorded AS (
        SELECT effective_on, stock_code, product(ratio) AS ratio FROM announced
        GROUP BY effective_on, stock_code
    ), steps AS (
        SELECT days.*, CASE
            WHEN previous_close IS NULL THEN 1.0
            WHEN trading_day - previous_day > {SAME_SHARES}
                THEN CASE WHEN split_ratio > 0 THEN split_ratio ELSE 1.0 END
            -- An announced day that moved is no action on the day it was announced for.
            WHEN abs(base_price - previous_close)
                 <= {_tick("greatest(base_price, previous_close)", "trading_day")} THEN 1.0
            WHEN recorded.ratio IS NOT NULL THEN 1.0 / recorded.ratio
            ELSE base_price / previous_close END AS step
        FROM days LEFT JOIN recorded
          ON recorded.stock_code = days.stock_code AND recorded.effective_on = days.trading_day
    ), factors AS (
        SELECT *, coalesce(product(step) OVER (
            PARTITION BY stock_code ORDER BY trading_day
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 1.0) AS factor
        FROM steps
    )
    SELECT trading_day, stock_code, open * factor AS open, high * factor AS high,
           low * factor AS low, close * factor AS close,
           round(volume / factor)::BIGINT AS volume, trading_value, factor, step
    FROM factors
"""

VIEWS: dict[str, str] = {
    "latest_prices": """
        -- Each stock's row of the newest capture that has it, within the ten newest stored days.
        SELECT * FROM recent(price_snapshots)
        QUALIFY row_number() OVER (PARTITION BY stock_code ORDER BY captured_at DESC) = 1
        ORDER BY stock_code
    """,
    "order_book_levels": _levels(),
    "candles_5m": _minutes(5),
    "candles_30m": _minutes(30),
    "weekly_candles": _days("week"),
    "monthly_candles": _days("month"),
    "daily_candles_adjusted": _ADJUSTED,
}

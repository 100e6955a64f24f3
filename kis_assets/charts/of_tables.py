"""The picture of each table, by its chart's name: of new rows or of all stored rows.

The drawing modules are imported only when a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, Table

SESSIONS = 60
"""How many candles of a stock are drawn."""


def _market_breadth(rows: pl.DataFrame, stocks: pl.DataFrame | None, _: Lake) -> bytes:
    """The stocks that rose and fell, by market."""
    from kis_assets.charts.market import market_breadth

    if stocks is not None:
        rows = rows.join(stocks.select("stock_code", "market"), on="stock_code", how="left")
    return market_breadth(rows)


def _candlestick(rows: pl.DataFrame, stocks: pl.DataFrame | None, lake: Lake) -> bytes:
    """The candles of the most traded stock, with its earlier sessions."""
    from kis_assets.charts.stock import candlestick

    traded = rows.group_by("stock_code").agg(pl.col("trading_value").sum())
    code = _largest(traded, pl.col("trading_value"))
    return candlestick(_sessions(lake, rows, code), _name(stocks, code))


def _order_book_depth(rows: pl.DataFrame, stocks: pl.DataFrame | None, _: Lake) -> bytes:
    """The order book of the stock that was most traded on the day before."""
    from kis_assets.charts.stock import order_book_depth

    quoted = rows.filter(pl.col("ask_price_1").is_not_null() | pl.col("bid_price_1").is_not_null())
    known = quoted if stocks is None else stocks.join(quoted, on="stock_code", how="semi")
    # A book does not state today's trading; the stock master states that of the day before.
    value = pl.col("previous_volume") * pl.col("base_price")
    code = _largest(known, value if stocks is not None else pl.col("total_bid_volume"))
    return order_book_depth(quoted.filter(stock_code=code), _name(stocks, code))


def _minute_coverage(lake: Lake, first: date, last: date) -> bytes:
    """How many stocks traded in each minute, of all stored rows."""
    from kis_assets.charts.market import minute_coverage

    return minute_coverage(lake.scan(MINUTE_CANDLES, first=first, last=last))


OF_ROWS: dict[str, Callable[[pl.DataFrame, pl.DataFrame | None, Lake], bytes]] = {
    "market_breadth": _market_breadth,
    "candlestick": _candlestick,
    "order_book_depth": _order_book_depth,
}
OF_STORED: dict[str, Callable[[Lake, date, date], bytes]] = {"minute_coverage": _minute_coverage}
"""The charts that read stored rows only."""


def picture(
    table: Table,
    rows: pl.DataFrame,
    stocks: pl.DataFrame | None,
    lake: Lake,
    first: date,
    last: date,
) -> bytes | None:
    """The picture of a table as PNG; None if the table has no picture.

    Args:
        table: the table.
        rows: the rows that were just stored.
        stocks: rows of `stock_master` of the requested stocks, for names and markets.
        lake: the lake with all stored rows.
        first: the first day of `rows`.
        last: the last day of `rows`.
    """
    if table.chart in OF_STORED:
        return OF_STORED[table.chart](lake, first, last)
    return OF_ROWS[table.chart](rows, stocks, lake) if table.chart else None


def _sessions(lake: Lake, rows: pl.DataFrame, code: str) -> pl.DataFrame:
    """A stock's last candles up to the newest day of `rows`, earlier ones from the lake."""
    if rows.is_empty():
        return rows
    first, last = rows.select(first=pl.min("trading_day"), last=pl.max("trading_day")).row(0)
    before = lake.scan(
        DAILY_CANDLES, first=last - timedelta(days=2 * SESSIONS), last=first - timedelta(days=1)
    )
    known = pl.concat([before, rows.lazy().select(DAILY_CANDLES.schema.names())])
    return known.filter(pl.col("stock_code") == code).collect().sort("trading_day").tail(SESSIONS)


def _largest(rows: pl.DataFrame, by: pl.Expr) -> str:
    ranked = rows.sort(by, descending=True, nulls_last=True)
    return str(ranked["stock_code"][0]) if ranked.height else ""


def _name(stocks: pl.DataFrame | None, code: str) -> str:
    if stocks is None:
        return ""
    found = stocks.filter(pl.col("stock_code") == code)["stock_name"]
    return str(found[0]) if found.len() else ""

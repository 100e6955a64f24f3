"""What is drawn of each table, by the chart that it names: of rows just stored, or of all stored.

What draws is loaded by those alone that draw.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl

from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, Table

SESSIONS = 60
"""Candles of a stock that are drawn."""


def _market_breadth(rows: pl.DataFrame, stocks: pl.DataFrame | None, _: Lake) -> bytes:
    """What rose and fell, by market."""
    from kis_assets.charts.market import market_breadth

    if stocks is not None:
        rows = rows.join(stocks.select("stock_code", "market"), on="stock_code", how="left")
    return market_breadth(rows)


def _candlestick(rows: pl.DataFrame, stocks: pl.DataFrame | None, lake: Lake) -> bytes:
    """The candles of the stock that was traded most, with those of its sessions before."""
    from kis_assets.charts.stock import candlestick

    traded = rows.group_by("stock_code").agg(pl.col("trading_value").sum())
    code = _largest(traded, pl.col("trading_value"))
    return candlestick(_sessions(lake, rows, code), _name(stocks, code))


def _order_book_depth(rows: pl.DataFrame, stocks: pl.DataFrame | None, _: Lake) -> bytes:
    """The order book of the stock that was traded most the day before."""
    from kis_assets.charts.stock import order_book_depth

    quoted = rows.filter(pl.col("ask_price_1").is_not_null() | pl.col("bid_price_1").is_not_null())
    known = quoted if stocks is None else stocks.join(quoted, on="stock_code", how="semi")
    # Of what was traded today a book says nothing; the stock master knows the day before.
    value = pl.col("previous_volume") * pl.col("base_price")
    code = _largest(known, value if stocks is not None else pl.col("total_bid_volume"))
    return order_book_depth(quoted.filter(stock_code=code), _name(stocks, code))


def _minute_coverage(lake: Lake, first: date, last: date) -> bytes:
    """How many stocks have a trade in each minute of all that is stored."""
    from kis_assets.charts.market import minute_coverage

    return minute_coverage(lake.scan(MINUTE_CANDLES, first=first, last=last))


OF_ROWS: dict[str, Callable[[pl.DataFrame, pl.DataFrame | None, Lake], bytes]] = {
    "market_breadth": _market_breadth,
    "candlestick": _candlestick,
    "order_book_depth": _order_book_depth,
}
OF_STORED: dict[str, Callable[[Lake, date, date], bytes]] = {"minute_coverage": _minute_coverage}
"""These need no rows at hand."""


def picture(
    table: Table,
    rows: pl.DataFrame,
    stocks: pl.DataFrame | None,
    lake: Lake,
    first: date,
    last: date,
) -> bytes | None:
    """The picture of a table as PNG, None where there is none.

    Args:
        table: the table.
        rows: what was stored just now.
        stocks: rows of `stock_master` of the stocks asked for, for their names and markets.
        lake: where all that is stored lies.
        first: the first day of what was stored just now.
        last: the last one.
    """
    if table.chart in OF_STORED:
        return OF_STORED[table.chart](lake, first, last)
    return OF_ROWS[table.chart](rows, stocks, lake) if table.chart else None


def _sessions(lake: Lake, rows: pl.DataFrame, code: str) -> pl.DataFrame:
    """A stock's last candles up to the newest day of `rows`: these, and stored ones before them."""
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

"""The picture of each table, by its chart's name: of new rows or of all stored rows.

The drawing modules are imported only when a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, ORDER_BOOK_TICKS, TRADES, Table

SESSIONS = 60
"""How many candles of a stock are drawn."""


class Drawn(NamedTuple):
    """The picture of a table."""

    png: bytes
    glance: str
    """The same as a few bars, in Markdown; empty where nothing can be drawn."""


def _market_breadth(rows: pl.DataFrame, stocks: pl.DataFrame | None, _: Lake) -> Drawn:
    """The stocks that rose and fell, by market."""
    from kis_assets.charts import glance
    from kis_assets.charts.market import market_breadth

    if stocks is not None and "market" in stocks.columns:
        rows = rows.join(stocks.select("stock_code", "market"), on="stock_code", how="left")
    bars = glance.breadth(rows) if rows.height else []
    return Drawn(market_breadth(rows), glance.markdown(bars, "Stocks by change: red rose"))


def _candlestick(rows: pl.DataFrame, stocks: pl.DataFrame | None, lake: Lake) -> Drawn:
    """The candles of the most traded stock, with its earlier sessions."""
    from kis_assets.charts import glance
    from kis_assets.charts.stock import candlestick

    traded = rows.group_by("stock_code").agg(pl.col("trading_value").sum())
    code = _largest(traded, pl.col("trading_value"))
    sessions = _sessions(lake, rows, code)
    small = glance.markdown(glance.candles(sessions), f"Lows and highs of {code}")
    return Drawn(candlestick(sessions, _name(stocks, code)), small)


def _order_book_depth(rows: pl.DataFrame, stocks: pl.DataFrame | None, _: Lake) -> Drawn:
    """The order book of the stock that was most traded on the day before."""
    from kis_assets.charts import glance
    from kis_assets.charts.stock import order_book_depth

    quoted = rows.filter(pl.col("ask_price_1").is_not_null() | pl.col("bid_price_1").is_not_null())
    known = quoted if stocks is None else stocks.join(quoted, on="stock_code", how="semi")
    # A book does not state today's trading; the stock master states that of the day before.
    value = pl.col("previous_volume") * pl.col("base_price")
    code = _largest(known, value if stocks is not None else pl.col("total_bid_volume"))
    book = quoted.filter(stock_code=code).sort("captured_at")
    bars = glance.depth(book.row(-1, named=True)) if book.height else []
    small = glance.markdown(bars, f"Order book of {code}: red to buy, blue to sell")
    return Drawn(order_book_depth(book, _name(stocks, code)), small)


def _minute_coverage(lake: Lake, _: pl.DataFrame | None, first: date, last: date) -> Drawn:
    """How many stocks traded in each minute, of all stored rows."""
    from kis_assets.charts import glance
    from kis_assets.charts.market import MINUTES, minute_coverage

    minutes = lake.scan(MINUTE_CANDLES, first=first, last=last)
    stocks = minutes.group_by("started_at").agg(stocks=pl.len()).sort("started_at").collect()
    bars = glance.sums(stocks["stocks"].to_list(), MINUTES)
    return Drawn(minute_coverage(minutes), glance.markdown(bars, "Stocks with a trade, by time"))


def _trades(lake: Lake, stocks: pl.DataFrame | None, first: date, last: date) -> Drawn:
    """The recorded trades of the stock with the most of them."""
    from kis_assets.charts import glance, ticks

    rows, name = _most_recorded(lake, TRADES, stocks, first, last)
    small = glance.markdown(glance.course(rows["price"].to_list()), "Prices of the day")
    return Drawn(ticks.trades(rows, name), small)


def _order_books(lake: Lake, stocks: pl.DataFrame | None, first: date, last: date) -> Drawn:
    """The recorded order books of the stock with the most of them."""
    from kis_assets.charts import glance, ticks

    rows, name = _most_recorded(lake, ORDER_BOOK_TICKS, stocks, first, last)
    bids = rows["bid_price_1"].drop_nulls().to_list()
    small = glance.markdown(glance.course(bids), "Best price to buy of the day")
    return Drawn(ticks.order_books(rows, name), small)


def _most_recorded(
    lake: Lake, table: Table, stocks: pl.DataFrame | None, first: date, last: date
) -> tuple[pl.DataFrame, str]:
    """The rows of the stock with the most of them, in order, and its name."""
    rows = lake.scan(table, first=first, last=last)
    counts = rows.group_by("stock_code").len().collect()
    code = _largest(counts.sort("stock_code"), pl.col("len"))
    return rows.filter(pl.col("stock_code") == code).sort("sequence").collect(), _name(stocks, code)


OF_ROWS: dict[str, Callable[[pl.DataFrame, pl.DataFrame | None, Lake], Drawn]] = {
    "market_breadth": _market_breadth,
    "candlestick": _candlestick,
    "order_book_depth": _order_book_depth,
}
OF_STORED: dict[str, Callable[[Lake, pl.DataFrame | None, date, date], Drawn]] = {
    "minute_coverage": _minute_coverage,
    "tape": _trades,
    "best_prices": _order_books,
}
"""The charts that read stored rows only."""


def picture(
    table: Table,
    rows: pl.DataFrame,
    stocks: pl.DataFrame | None,
    lake: Lake,
    first: date,
    last: date,
) -> Drawn | None:
    """The picture of a table; None if the table has none.

    Args:
        table: the table.
        rows: the rows that were just stored.
        stocks: rows of `stock_master`, for names and markets.
        lake: the lake with all stored rows.
        first: the first day of `rows`.
        last: the last day of `rows`.
    """
    if table.chart in OF_STORED:
        return OF_STORED[table.chart](lake, stocks, first, last)
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

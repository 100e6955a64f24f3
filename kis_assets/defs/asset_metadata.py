"""What an asset's page shows: the first interesting rows just stored, a picture, how KIS stands.

Rows and picture are made of the frame at hand, to which a stock's sessions before are read. Minutes
alone are read back: to hold half a million until they are drawn would take more memory.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import (
    DAILY_CANDLES,
    MARKET_DAYS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    Table,
)

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*[]"} | {"|": "/"})
FIRST = 8
SHOWN = 20
SESSIONS = 60

# The columns worth a look, and the one whose largest values come first.
_INTERESTING: dict[str, tuple[str, str]] = {
    "stock_master": (
        "stock_code stock_name market security_type base_price listed_shares previous_market_cap",
        "previous_market_cap",
    ),
    "stock_info": ("stock_code stock_name market industry listed_shares", "capital"),
    "price_snapshots": (
        "stock_code stock_name price change_rate volume trading_value",
        "trading_value",
    ),
    "order_books": (
        "stock_code bid_volume_1 bid_price_1 ask_price_1 ask_volume_1 total_bid_volume "
        "total_ask_volume",
        "total_bid_volume",
    ),
    "daily_candles": (
        "trading_day stock_code open high low close change volume trading_value",
        "trading_value",
    ),
    "minute_candles": (
        "started_at stock_code open high low close volume trading_value",
        "trading_value",
    ),
    "krx_daily": (
        "stock_code stock_name market close change_rate volume trading_value market_cap",
        "trading_value",
    ),
    "corporate_actions": ("effective_on stock_code stock_name kind ratio amount", "effective_on"),
}


def preview(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """The few rows of a table that people look at first, in the columns that matter."""
    if table is MARKET_DAYS:
        unusual = rows.filter(
            pl.col("note").is_not_null() | (~pl.col("is_open") & (pl.col("day").dt.weekday() <= 5))
        )
        return unusual.select("day", "is_open", "opens_at", "closes_at", "note", "known_from")
    columns, by = _INTERESTING[table.name]
    if table is DAILY_CANDLES:
        rows = rows.filter(pl.col("trading_day") == pl.col("trading_day").max())
    # Lazily, so that only those columns are ranked: of half a million minutes all take 80 MB.
    return (
        rows.lazy()
        .select({*columns.split(), by})
        .top_k(FIRST, by=by)
        .collect()
        .select(columns.split())
    )


def picture(
    table: Table, rows: pl.DataFrame, stocks: pl.DataFrame | None, lake: Lake, scope: Scope
) -> bytes | None:
    """The picture of a table as PNG, None where there is none.

    Args:
        table: the table.
        rows: what was stored just now.
        stocks: rows of `stock_master` of the stocks asked for, for their names and markets.
        lake: where the sessions before lie, and all minutes.
        scope: what the rows replaced.
    """
    # Those that draw nothing need not load what draws.
    if table is PRICE_SNAPSHOTS:
        from kis_assets.charts.market import market_breadth

        if stocks is not None:
            rows = rows.join(stocks.select("stock_code", "market"), on="stock_code", how="left")
        return market_breadth(rows)
    if table is MINUTE_CANDLES:
        from kis_assets.charts.market import minute_coverage

        return minute_coverage(lake.scan(table, first=scope.first, last=scope.last))
    if table is DAILY_CANDLES:
        from kis_assets.charts.stock import candlestick

        traded = rows.group_by("stock_code").agg(pl.col("trading_value").sum())
        code = _largest(traded, pl.col("trading_value"))
        return candlestick(sessions(lake, rows, code), _name(stocks, code))
    if table is ORDER_BOOKS:
        from kis_assets.charts.stock import order_book_depth

        quoted = rows.filter(
            pl.col("ask_price_1").is_not_null() | pl.col("bid_price_1").is_not_null()
        )
        known = quoted if stocks is None else stocks.join(quoted, on="stock_code", how="semi")
        # Of what was traded today a book says nothing; the stock master knows the day before.
        value = pl.col("previous_volume") * pl.col("base_price")
        code = _largest(known, value if stocks is not None else pl.col("total_bid_volume"))
        return order_book_depth(quoted.filter(stock_code=code), _name(stocks, code))
    return None


def sessions(lake: Lake, rows: pl.DataFrame, code: str) -> pl.DataFrame:
    """A stock's last stored candles up to the newest day of `rows`."""
    if rows.is_empty():
        return rows
    first, last = rows.select(first=pl.min("trading_day"), last=pl.max("trading_day")).row(0)
    before = lake.scan(
        DAILY_CANDLES, first=last - timedelta(days=2 * SESSIONS), last=first - timedelta(days=1)
    )
    known = pl.concat([before, rows.lazy().select(DAILY_CANDLES.schema.names())])
    return known.filter(pl.col("stock_code") == code).collect().sort("trading_day").tail(SESSIONS)


def embedded(png: bytes, words: str) -> dg.MarkdownMetadataValue:
    """A picture within the text of the metadata: no server has to keep it."""
    return dg.MetadataValue.md(
        f"![{words}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def _largest(rows: pl.DataFrame, by: pl.Expr) -> str:
    ranked = rows.sort(by, descending=True, nulls_last=True)
    return str(ranked["stock_code"][0]) if ranked.height else ""


def _name(stocks: pl.DataFrame | None, code: str) -> str:
    if stocks is None:
        return ""
    found = stocks.filter(pl.col("stock_code") == code)["stock_name"]
    return str(found[0]) if found.len() else ""


def markdown(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small frame as a table people can read in the UI; instants are in Seoul."""
    ends = ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]
    rows = ([escaped(cell(value)) for value in row] for row in frame.rows())
    lines = [frame.columns, ends, *rows]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def escaped(text: str) -> str:
    """Text that stands in Markdown as it is: no HTML, no picture of another server, one line."""
    return " ".join(html.escape(text, quote=False).translate(_MARKS).split())


def cell(value: object) -> str:
    """A value as people read it: 1,234,567; 1.20; 2026-03-17 15:30; nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value.astimezone(calendar.SEOUL):%Y-%m-%d %H:%M}"
    return str(value)


def standing(found: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """How quota, token, breaker and cache stand after `rate` requests a second, as one entry."""
    if not found:
        return {}
    if found["error"]:
        return {"account": found["error"]}
    accounts, cache = found["accounts"], found["cache"]
    limit = sum(facts["rate_limit"] for facts in accounts.values())
    hit_rate = cache.get("hit_rate")
    rows = [
        {
            "app key": name,
            "pace": f"{facts['rate']:.1f} of {facts['rate_limit']:g} a second",
            "used here": f"{rate / limit:.0%}",
            "token": _age(facts["token_asked_at"], facts["token_expires_at"]),
            "breaker": facts["breaker"]
            + (f" for {wait:.0f} s" if (wait := facts["breaker_opens_for"]) else ""),
            "cache hits": "" if hit_rate is None else f"{hit_rate:.0%}",
        }
        for name, facts in accounts.items()
    ]
    return {"account": markdown(pl.DataFrame(rows))}


def _age(asked_at: datetime | None, expires_at: datetime | None) -> str:
    if asked_at is None or expires_at is None:
        return "none"
    old = (datetime.now(UTC) - asked_at).total_seconds() / 3600
    return f"{old:.1f} h old, until {expires_at.astimezone(calendar.SEOUL):%Y-%m-%d %H:%M} in Seoul"

"""Indices, flows, short sales and programme trades of a day, or of the newest earlier day.

They are published on the next morning: a page made in the evening shows those of the session
before, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from kis_assets.exchange import calendar, indices
from kis_assets.kis.investor_flows import TOTALS
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.tables import (
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    MARKET_FLOWS,
    PROGRAM_TRADES,
    SHORT_SALES,
    TABLES,
    Table,
)

INDICES = {indices.CODES[name]: name for name in ("KOSPI", "KOSDAQ", "KOSPI 200")}
WHO = {
    "individuals": ("individual",),
    "foreigners": TOTALS["frgn"],
    "institutions": TOTALS["orgn"],
    "others": TOTALS["etc"],
}
"""The classes of investors, as the page names them."""
MOST = 10


@dataclass(frozen=True)
class Ranking:
    """The top stocks by some figure, and its day."""

    title: str
    day: date
    rows: pl.DataFrame
    """stock_code, stock_name, value (KRW, signed) and, of short sales, ratio (% of the volume)."""


@dataclass(frozen=True)
class Figures:
    """The stored figures. Those not stored are empty, and `missing` names their tables."""

    indices: pl.DataFrame
    """A row per index: name, trading_day, close, change, rate (%), trading_value (KRW)."""
    markets: pl.DataFrame
    """A row per market: market, trading_day, and the net purchases of each of `WHO` (KRW)."""
    rankings: list[Ranking]
    earlier: list[date]
    """The days of these figures that are earlier than the page's day."""
    missing: list[str]
    remedy: str
    """How to fetch `missing`, in words; empty if nothing is missing."""


def figures(lake: Lake, day: date, names: Mapping[str, str], settings: Settings) -> Figures:
    """The newest figures up to a day; `names` are the stocks' by code."""
    found = {
        table.name: _newest(lake, table, day)
        for table in (INDEX_CANDLES, MARKET_FLOWS, INVESTOR_FLOWS, PROGRAM_TRADES, SHORT_SALES)
    }
    missing = [name for name, rows in found.items() if rows.is_empty()]
    days = {rows["trading_day"][0] for rows in found.values() if rows.height}
    return Figures(
        indices=_indices(found[INDEX_CANDLES.name]),
        markets=_markets(found[MARKET_FLOWS.name]),
        rankings=[
            Ranking(title, rows["trading_day"][0], _named(rows, names))
            for title, rows in (
                *_of_investors(found[INVESTOR_FLOWS.name]),
                *_short(found[SHORT_SALES.name]),
                *_programmes(found[PROGRAM_TRADES.name]),
            )
            if rows.height
        ],
        earlier=sorted(days - {day}),
        missing=missing,
        remedy=_remedy(missing, settings),
    )


def _remedy(missing: list[str], settings: Settings) -> str:
    lacking = [
        name for name in missing if settings.is_virtual and TABLES[name].on_virtual == "lacking"
    ]
    had = [f"--table {name}" for name in missing if name not in lacking]
    said: list[str] = []
    if had:
        said.append(f"kis-assets run {' '.join(had)} fetches what has been published.")
    if lacking:
        said.append(f"The virtual server has no {' and no '.join(lacking)}.")
    return " ".join(said)


def _newest(lake: Lake, table: Table, day: date) -> pl.DataFrame:
    rows = lake.scan(table, first=day - calendar.LONGEST_CLOSURE, last=day)
    return rows.filter(pl.col("trading_day") == pl.col("trading_day").max()).collect()


def _indices(rows: pl.DataFrame) -> pl.DataFrame:
    order = pl.Enum(list(INDICES))
    return (
        rows.filter(pl.col("index_code").is_in(list(INDICES)))
        .sort(pl.col("index_code").cast(order))
        .select(
            name=pl.col("index_code").replace_strict(INDICES, return_dtype=pl.String),
            trading_day="trading_day",
            close="close",
            change="change",
            rate=100 * pl.col("change") / (pl.col("close") - pl.col("change")),
            trading_value="trading_value",
        )
    )


def _markets(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by("market", "trading_day")
        .agg(_net(classes).alias(who) for who, classes in WHO.items())
        .sort("market", descending=True)
    )


def _net(classes: tuple[str, ...]) -> pl.Expr:
    return pl.col("net_value").filter(pl.col("investor").is_in(classes)).sum()


def _of_investors(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    found: list[tuple[str, pl.DataFrame]] = []
    for who in ("foreigners", "institutions"):
        nets = rows.group_by("trading_day", "stock_code").agg(value=_net(WHO[who]))
        bought, sold = _both_ends(nets)
        found += [(f"Bought most by {who}", bought), (f"Sold most by {who}", sold)]
    return found


def _programmes(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    bought, sold = _both_ends(rows.select("trading_day", "stock_code", value="net_value"))
    return [("Bought most by programmes", bought), ("Sold most by programmes", sold)]


def _short(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    shorted = rows.filter(pl.col("short_volume") > 0).select(
        "trading_day", "stock_code", value="short_value", ratio="short_ratio"
    )
    known = shorted.filter(pl.col("ratio").is_not_null())
    return [
        ("Sold short most, by value", _first(shorted, "value")),
        ("Sold short most, of the day's volume", _first(known, "ratio")),
    ]


def _both_ends(nets: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    bought = _first(nets.filter(pl.col("value") > 0), "value")
    sold = nets.filter(pl.col("value") < 0).sort("value", "stock_code").head(MOST)
    return bought, sold


def _first(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    return rows.sort(by, "stock_code", descending=[True, False]).head(MOST)


def _named(rows: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    code = pl.col("stock_code")
    return rows.with_columns(
        stock_name=code.replace_strict(names, default=code, return_dtype=pl.String)
    )

"""How many requests a table needs, and how long they take at the rate that KIS grants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import ceil

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.kis.quotes import CODES_A_REQUEST
from kis_assets.lake.lake import Lake
from kis_assets.lake.universe import wanted
from kis_assets.monitoring.status import granted
from kis_assets.settings import Settings
from kis_assets.tables import STOCK_MASTER, TABLES, Cost, Table

LONG = 120.0
"""Seconds; a longer run is announced before it begins."""
LISTED = 2_600
"""Number of common shares of KOSPI and KOSDAQ, for estimates until a stock master is stored."""
_STARTING = 2.0
"""Seconds that a table of the invented market takes in addition to its stocks."""
COMPARED = 100
"""Number of stocks that a check of prices or candles compares with a second service."""


def requests_of(table: str, stocks: int, day: date, settings: Settings) -> int:
    """The number of requests for a table's partition of a day, its checks included."""
    cost = TABLES[table].cost if table in TABLES else None
    if settings.source_type != "kis" or cost is None:
        return 0
    if settings.is_virtual and TABLES[table].on_virtual != "served":
        return 0
    compared = min(COMPARED, stocks) if cost.is_compared else 0
    if cost.in_bundles and not settings.is_virtual:
        return ceil(stocks / CODES_A_REQUEST) + compared
    return round(stocks * per_stock(TABLES[table], day)) + compared


def per_stock(table: Table, day: date) -> float:
    """The number of requests per stock for a table's partition of a day, without its checks."""
    cost = table.cost or Cost(per_stock=0)
    has_after_market = day >= calendar.AFTER_MARKET_SINCE
    return (has_after_market and cost.since_after_market) or cost.per_stock


def estimate(tables: Sequence[str], stocks: int, day: date, settings: Settings) -> str:
    """A sentence on how long these tables take and why; empty if less than LONG."""
    requests = sum(requests_of(table, stocks, day, settings) for table in tables)
    rate = granted(settings) if requests else 0.0
    if not requests or requests / rate < LONG:
        return ""
    if rate < settings.rate_limit * len(settings.credentials):
        why = f"KIS grants {rate:.3g} a second"
    else:
        why = f"the {settings.environment} server takes {rate:g} a second"
    return (
        f"about {duration(requests / rate)}: {requests:,} requests for {stocks:,} stocks, and {why}"
    )


def planned(tables: Sequence[str], day: date, settings: Settings, lake: Lake) -> str:
    """The tables that a run makes, and how long the invented market takes to compute."""
    what = f"{len(tables)} tables" if len(tables) > 1 else "1 table"
    line = f"Makes {what} of {day}: {', '.join(tables)}."
    if settings.source_type != "mock":
        return line
    stocks = stocks_of(settings, lake)
    costs = [it.cost for it in map(TABLES.get, tables) if it and it.cost]
    seconds = _STARTING * len(tables) + stocks * sum(it.invented for it in costs)
    return (
        f"{line} About {duration(seconds)}: this machine invents the market of {stocks:,} stocks."
    )


def most_traded_note(tables: Sequence[str], lake: Lake, day: date, settings: Settings) -> str:
    """A note that only the most traded stocks are fetched by default, and how to fetch all."""
    count = settings.universe.most_traded
    if settings.kis_universe is not None or settings.kis_stock_codes is not None or count is None:
        return ""
    everything = settings.model_copy(update={"kis_universe": settings.universe.groups})
    listed = stocks_of(everything, lake)
    all_of_them = estimate(tables, listed, day, everything).partition(":")[0]
    return (
        f"The virtual server takes one request a second, so this begins with the {count} stocks "
        f"traded most. KIS_UNIVERSE=common has all {listed:,}"
        + (f" ({all_of_them} a run)" if all_of_them else "")
        + "; KIS_UNIVERSE=top300 or KIS_STOCK_CODES has others"
    )


def stocks_of(settings: Settings, lake: Lake) -> int:
    """How many stocks the settings select from the newest stored master."""
    stored = lake.scan(STOCK_MASTER)
    newest = stored.filter(pl.col("trading_day") == pl.col("trading_day").max())
    count = newest.filter(wanted(settings, lake)).select(pl.len()).collect().item()
    if count:
        return count
    if settings.kis_stock_codes is not None:
        return len(settings.kis_stock_codes)
    return settings.universe.most_traded or LISTED


def duration(seconds: float) -> str:
    """A duration as text, such as 1 h 05 min, 7 min or 45 s."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(ceil(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"

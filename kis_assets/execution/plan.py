"""What a backfill has to fetch: which partitions are missing, and how many requests they take.

KIS gives up to 100 daily bars a request, and a month has 22. So daily candles are fetched in
windows of 100 sessions, a request a stock. Ten years of 2,500 stocks are 62,500 requests that way,
and would be 300,000 month by month.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any

import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.assets.etf_navs import funds
from kis_assets.defs.assets.index_candles import indices
from kis_assets.defs.assets.market_flows import markets
from kis_assets.defs.availability import month
from kis_assets.defs.partitions import FIRST_MONTH
from kis_assets.defs.resources import KISResource
from kis_assets.exchange import calendar, finality
from kis_assets.kis.daily_candles import BARS_A_PAGE
from kis_assets.kis.minute_candles import oldest_kept
from kis_assets.lake.lake import Lake
from kis_assets.lake.quality import ACCOUNTED, provisional
from kis_assets.monitoring.costs import per_stock
from kis_assets.monitoring.status import granted
from kis_assets.settings import Settings
from kis_assets.tables import QUALITY, TABLES, Table

MOCK_STEPS_A_SECOND = 100.0
"""Stocks a second and partition that the invented market gives, with what it takes to store them.

Measured on two busy cores: 200 of daily candles, 30 of investor flows.
"""
MOCK_PARTITION_SECONDS = 2.0
"""Seconds of a partition of the invented market beside its stocks: its master files, Dagster.

Measured on two busy cores: 2 to 5 for twelve stocks.
"""
SUBJECTS = {
    "stocks": universe.of_span, "ETFs": funds, "indices": indices, "markets": markets,
}  # fmt: skip
"""What gives those that are asked for in a span of days."""

Span = tuple[date, date]


@dataclass(frozen=True)
class Window:
    """Days that are asked for together: up to 100 sessions of stocks listed by the last of them."""

    first: date
    last: date
    codes: list[str]


@dataclass(frozen=True)
class Plan:
    """What a backfill is going to do."""

    table: str
    partitions: list[str]
    """Those to make, in this order."""
    complete: int
    """How many are left out, because all is there."""
    windows: list[Window]
    without_window: dict[str, int]
    """Stocks that a partition asks for by itself, for those that are in no window."""
    stocks: int
    """What is asked for: stocks, or what else the table is of."""
    requests: int
    """To KIS; the invented market is asked without any."""
    rate: float
    """Requests a second that KIS grants to all keys together, as far as is known."""

    @property
    def seconds(self) -> float:
        """How long it takes when nothing else is asked of KIS."""
        if self.requests:
            return self.requests / self.rate
        return len(self.partitions) * MOCK_PARTITION_SECONDS + self.steps / MOCK_STEPS_A_SECOND

    @property
    def steps(self) -> int:
        """Stocks to fetch, over all windows and partitions."""
        return sum(len(window.codes) for window in self.windows) + sum(self.without_window.values())

    def facts(self) -> dict[str, Any]:
        """The estimate, for machines."""
        return {
            "table": self.table,
            "partitions": self.partitions,
            "complete": self.complete,
            "stocks": self.stocks,
            "requests": self.requests,
            "requests_a_second": self.rate,
            "seconds": round(self.seconds),
        }


def make_plan(
    table: str,
    first: str,
    last: str,
    kis: KISResource,
    lake: Lake,
    *,
    again: bool = False,
    only: Collection[str] | None = None,
) -> Plan:
    """What lacks of a table from one month or day to another, and what it costs.

    Args:
        table: one with a past, such as daily_candles.
        first: the first month (2015-01) or day (2026-03-02).
        last: the last one, included.
        kis: asked for the master files, unless they are stored.
        lake: what is there already.
        again: fetch what is there as well.
        only: the partitions to look at, by their keys; None: all from first to last.

    Raises:
        ValueError: there is no such table, month or day, or it cannot be had.
        KISError: the master files cannot be had.
    """
    settings = kis.settings
    spans = partitions(table, first, last, kis)
    todo = {
        key: span
        for key, span in spans.items()
        if (only is None or key in only)
        and (again or not is_complete(lake, TABLES[table], *span, kis.now()))
    }
    stocks = pl.DataFrame(schema={"stock_code": pl.String, "listed_on": pl.Date})
    if todo:
        ends = list(spans.values())
        stocks = SUBJECTS[TABLES[table].rows_of](kis, lake, ends[0][0], ends[-1][1])
    # The month that runs is asked for by itself: its bars are not kept while they change.
    over = {key: span for key, span in spans.items() if span[1] < kis.now().date()}
    # A request gives more daily bars than a month has, and fewer minutes than a day has.
    published = TABLES[table].final == "published"
    in_windows = TABLES[table].partition == "month" and not published and caches_bars(settings)
    found = windows(list(over.values()), stocks) if in_windows else []
    wanted = [span for key, span in over.items() if key in todo]
    found = [it for it in found if any(a <= it.last and b >= it.first for a, b in wanted)]
    without_window = {
        key: len(listed_by(stocks, span[1]))
        for key, span in todo.items()
        if not (in_windows and key in over)
    }
    requests = sum(len(it.codes) for it in found)
    requests += round(
        sum(
            per_stock(TABLES[table], todo[key][0]) * stocks
            for key, stocks in without_window.items()
        )
        * _share(TABLES[table], list(todo.values()), settings)
    )
    if settings.source_type != "kis":
        requests = 0
    rate = granted(settings)
    complete = len(spans) - len(todo)
    # The newest first: an answer reaches back, and what it tells of earlier months is kept.
    order = list(todo)[::-1] if published else list(todo)
    return Plan(table, order, complete, found, without_window, stocks.height, requests, rate)


def _share(table: Table, spans: list[Span], settings: Settings) -> float:
    """Requests a stock and month, where an answer holds more days than a month has."""
    days = table.cost.days if table.cost else 0
    if not days or not spans or not caches_bars(settings):
        return 1.0
    sessions = sum(len(calendar.possible_trading_days(*span)) for span in spans)
    return min(1.0, ceil(sessions / days) / len(spans))


def caches_bars(settings: Settings) -> bool:
    """Whether bars are kept from a window to the runs of its months."""
    return settings.source_type == "kis" and settings.kis_cache_ttl_chart > 0


def partitions(table: str, first: str, last: str, kis: KISResource) -> dict[str, Span]:
    """The partitions from one to another by their keys, each with its first and its last day.

    Raises:
        ValueError: it is no table, month or day that can be had.
    """
    past = [it.name for it in TABLES.values() if it.has_past]
    if table not in past:
        raise ValueError(f"the past of {table!r} cannot be had; that of {' and '.join(past)} can")
    now = kis.now()
    latest = calendar.latest_session(now).day
    begins, ends = _day(table, first), _day(table, last)
    if begins > ends:
        raise ValueError(f"{first} comes after {last}")
    if ends > latest:
        raise ValueError(f"{last} has not begun; the latest session is {latest}")
    if TABLES[table].sessions_kept:
        if begins < (oldest := oldest_kept(now)):
            raise ValueError(
                f"minutes of {first} are no longer available; KIS has them from {oldest}"
            )
        return {str(day): (day, day) for day in calendar.trading_days(begins, ends)}
    if str(begins) < FIRST_MONTH:
        raise ValueError(
            f"{first} lies before {FIRST_MONTH[:7]}, the first month of daily candles: begin there"
        )
    found: dict[str, Span] = {}
    while begins <= ends:
        found[str(begins)] = month(str(begins), latest)
        begins = (begins + timedelta(days=31)).replace(day=1)
    return found


def _day(table: str, word: str) -> date:
    is_month = TABLES[table].partition == "month"
    try:
        return date.fromisoformat(f"{word}-01" if is_month else word)
    except ValueError:
        kind, example = ("month", "2015-01") if is_month else ("day", "2026-03-02")
        raise ValueError(f"{word!r} is no {kind}; write it as {example}") from None


def is_complete(lake: Lake, table: Table, first: date, last: date, now: datetime) -> bool:
    """Whether rows of a partition are stored, as final as they can be, and no stock of them failed.

    Checks that failed do not matter here: asking again would not mend their rows.
    """
    known = (
        lake.scan(QUALITY, first=first, last=last)
        .filter(pl.col("table_name") == table.name, pl.col("check_name") == ACCOUNTED)
        .collect()
    )
    if known["rows"].sum() == 0 or not known["passed"].all():
        return False
    sessions = calendar.known_trading_days(first, last)
    if not set(sessions) <= set(known["trading_day"]):
        return False
    if table.final == "next_morning" and not provisional(lake, now, first, last).is_empty():
        return False
    newest = known.sort("trading_day").row(-1, named=True)
    session = calendar.session(newest["trading_day"]) if sessions else None
    if session is None:
        return True
    over_at = session.over_at
    if table.final == "after_hours":
        over_at = finality.minutes_final_at(session.day)
    return newest["checked_at"] >= over_at


def windows(spans: list[Span], stocks: pl.DataFrame) -> list[Window]:
    """The days of spans that follow one another, cut into windows of 100 sessions.

    `stocks` has the columns stock_code and listed_on; none is asked for before its listing.
    """
    days = [day for first, last in spans for day in calendar.possible_trading_days(first, last)]
    found = [days[at : at + BARS_A_PAGE] for at in range(0, len(days), BARS_A_PAGE)]
    return [Window(it[0], it[-1], listed_by(stocks, it[-1])) for it in found]


def listed_by(stocks: pl.DataFrame, day: date) -> list[str]:
    """The codes of the stocks that were listed by a day, as far as that is known."""
    if "listed_on" not in stocks.columns:  # indices and markets are there on every day
        return stocks[:, 0].to_list()
    listed = pl.col("listed_on").is_null() | (pl.col("listed_on") <= day)
    return stocks.filter(listed)["stock_code"].to_list()

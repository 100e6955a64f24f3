"""Plans of backfills: which partitions are missing, and how many requests they need.

KIS returns up to 100 daily bars per request, and a month has 22. So daily candles are fetched in
windows of 100 sessions, with one request per stock. Ten years of 2,500 stocks need 62,500 requests
that way, instead of 300,000 month by month.
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
"""The speed of the invented market: steps (stocks times partitions) per second, with storing.

Measured on two busy cores: 200 for daily candles, 30 for investor flows.
"""
MOCK_PARTITION_SECONDS = 2.0
"""Additional seconds per partition of the invented market, for master files and Dagster.

Measured on two busy cores: 2 to 5 for twelve stocks.
"""
SUBJECTS = {
    "stocks": universe.of_span, "ETFs": funds, "indices": indices, "markets": markets,
}  # fmt: skip
"""The functions that return the subjects to fetch for a span of days."""

Span = tuple[date, date]


@dataclass(frozen=True)
class Window:
    """Days that are fetched together: up to 100 sessions, for the stocks listed by the last day."""

    first: date
    last: date
    codes: list[str]


@dataclass(frozen=True)
class Plan:
    """What a backfill will do."""

    table: str
    partitions: list[str]
    """The partitions to make, in this order."""
    complete: int
    """The number of partitions that are skipped because they are complete."""
    windows: list[Window]
    without_window: dict[str, int]
    """The number of stocks of each partition that is not in a window and is fetched by its own
    run."""
    stocks: int
    """The number of subjects: stocks, or what the table has instead."""
    requests: int
    """The number of requests to KIS; the invented market needs none."""
    rate: float
    """Requests per second that KIS grants to all keys together, as far as known."""

    @property
    def seconds(self) -> float:
        """The estimated duration in seconds if nothing else uses KIS."""
        if self.requests:
            return self.requests / self.rate
        return len(self.partitions) * MOCK_PARTITION_SECONDS + self.steps / MOCK_STEPS_A_SECOND

    @property
    def steps(self) -> int:
        """The number of stocks to fetch, summed over all windows and partitions."""
        return sum(len(window.codes) for window in self.windows) + sum(self.without_window.values())

    def facts(self) -> dict[str, Any]:
        """The estimate as JSON values."""
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
    """The missing partitions of a table from one month or day to another, with an estimate.

    Args:
        table: a table with history, such as daily_candles.
        first: the first month (2015-01) or day (2026-03-02).
        last: the last month or day, included.
        kis: the source of the master files, unless they are stored.
        lake: the stored rows.
        again: also fetch complete partitions.
        only: keys of the partitions to consider. None: all from first to last.

    Raises:
        ValueError: there is no such table, month or day, or it is not available.
        KISError: the master files are not available.
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
    # The current month is fetched by its own run: bars are not cached while they change.
    over = {key: span for key, span in spans.items() if span[1] < kis.now().date()}
    # One request returns more daily bars than a month has, but fewer minutes than a day has.
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
    # Newest first: an answer reaches back, and its rows of earlier months are cached.
    order = list(todo)[::-1] if published else list(todo)
    return Plan(table, order, complete, found, without_window, stocks.height, requests, rate)


def _share(table: Table, spans: list[Span], settings: Settings) -> float:
    """Requests per stock and month, if one answer has more days than a month."""
    days = table.cost.days if table.cost else 0
    if not days or not spans or not caches_bars(settings):
        return 1.0
    sessions = sum(len(calendar.possible_trading_days(*span)) for span in spans)
    return min(1.0, ceil(sessions / days) / len(spans))


def caches_bars(settings: Settings) -> bool:
    """Whether the bars of a window are cached for the runs of its months."""
    return settings.source_type == "kis" and settings.kis_cache_ttl_chart > 0


def partitions(table: str, first: str, last: str, kis: KISResource) -> dict[str, Span]:
    """The partitions from one key to another, each with its first and its last day.

    Raises:
        ValueError: the table, month or day is not available.
    """
    past = [it.name for it in TABLES.values() if it.has_past]
    if table not in past:
        raise ValueError(f"the past of {table!r} is not available; that of {' and '.join(past)} is")
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
            f"{first} is before {FIRST_MONTH[:7]}, the first month of daily candles: begin there"
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
        raise ValueError(f"{word!r} is not a {kind}; write it as {example}") from None


def is_complete(lake: Lake, table: Table, first: date, last: date, now: datetime) -> bool:
    """Whether a partition is stored, is as final as it can be, and no stock of it failed.

    Failed checks do not matter: fetching again would not correct their rows.
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
    """The days of consecutive spans, cut into windows of 100 sessions.

    `stocks` has the columns stock_code and listed_on; no stock is fetched before its listing.
    """
    days = [day for first, last in spans for day in calendar.possible_trading_days(first, last)]
    found = [days[at : at + BARS_A_PAGE] for at in range(0, len(days), BARS_A_PAGE)]
    return [Window(it[0], it[-1], listed_by(stocks, it[-1])) for it in found]


def listed_by(stocks: pl.DataFrame, day: date) -> list[str]:
    """The codes of the stocks that were listed by a day, as far as known."""
    if "listed_on" not in stocks.columns:  # indices and markets exist on every day
        return stocks[:, 0].to_list()
    listed = pl.col("listed_on").is_null() | (pl.col("listed_on") <= day)
    return stocks.filter(listed)["stock_code"].to_list()

"""The bars that `candles` shows: requested from the source, or read from the lake."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from kis_assets.cli.common import note, note_stale
from kis_assets.exchange import calendar
from kis_assets.lake.queries import Column

if TYPE_CHECKING:
    from kis_assets.market import Market
    from kis_assets.sources.base import DataSource

Span = tuple[date | None, date | None]
"""The first and the last day; None: no limit."""


class Period(Enum):
    """Periods of a candle."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    MINUTE = "1m"
    FIVE = "5m"
    THIRTY = "30m"

    @property
    def minutes(self) -> int | None:
        """Its minutes; None for a day or more."""
        return int(self.value[:-1]) if self.value.endswith("m") else None


_BARS = ("open_price", "high_price", "low_price", "close_price", "volume", "trading_value")


def from_source(
    source: DataSource, code: str, period: Period, span: Span, today: date, count: int
) -> tuple[list[str], list[list[Any]]]:
    """Bars from the source, oldest first.

    The source returns the newest `count` bars. With a first day, the count is computed so that they
    reach back to it.
    """
    from kis_assets.sources.base import PriceType

    kind = PriceType["MINUTE_" + str(period.minutes) if period.minutes else period.name]
    first = span[0]
    if first is not None:
        days = max((today - first).days, 0) + 1
        # The maximum per day: 391 minutes, and the extended auction.
        count = {
            Period.DAILY: days,
            Period.WEEKLY: days // 7 + 2,
            Period.MONTHLY: days // 28 + 2,
        }.get(period, days * (400 // (period.minutes or 1) + 2))
    bars = source.get_chart_data(code, kind, count)
    note_stale(bars)
    if any(bar.is_final is False for bar in bars):
        note(
            "the newest close may be the after-market's; it is final on the next session's morning"
        )
    low, high = (f"{day:%Y%m%d}" if day else "" for day in span)
    kept = [bar for bar in bars if low <= bar.date[:8] and (not high or bar.date[:8] <= high)]
    rows = [[_moment(bar.date), *(getattr(bar, name) for name in _BARS)] for bar in reversed(kept)]
    return asked_columns(period), rows


def asked_columns(period: Period) -> list[str]:
    """The columns of bars that are asked for."""
    when = Column("date", "TIMESTAMP WITH TIME ZONE" if period.minutes else "DATE")
    return [when, *(Column(name.removesuffix("_price"), "BIGINT") for name in _BARS)]


def _moment(stamp: str) -> date | datetime:
    """The day of a bar, or the instant of a minute's."""
    if len(stamp) > 8:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=calendar.SEOUL)
    return date.fromisoformat(stamp)


_VIEWS = {
    Period.DAILY: "daily_candles",
    Period.WEEKLY: "weekly_candles",
    Period.MONTHLY: "monthly_candles",
    Period.MINUTE: "minute_candles",
    Period.FIVE: "candles_5m",
    Period.THIRTY: "candles_30m",
}


def from_lake(
    market: Market, code: str, period: Period, span: Span, adjusted: bool
) -> tuple[list[str], list[list[Any]]]:
    """Stored bars, oldest first."""
    columns, found = market.bars(_VIEWS[period] + ("_adjusted" if adjusted else ""), code, *span)
    when = "started_at" if period.minutes else "trading_day"
    names = [when, *(name.removesuffix("_price") for name in _BARS)]
    if "is_final" in columns:
        names.append("is_final")
        if not all(row[columns.index("is_final")] for row in found):
            note("some candles are not final (is_final): their closes may be the after-market's")
    places = [columns.index(name) for name in names]
    return [columns[place] for place in places], [[row[it] for it in places] for row in found]

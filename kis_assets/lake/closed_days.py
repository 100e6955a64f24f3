"""Days that KIS states as closed though the computed calendar has sessions: late decrees."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake
from kis_assets.tables import MARKET_DAYS


def closed_by_kis(lake: Lake, first: date, last: date) -> set[date]:
    """The days of a span for which KIS has stated that there is no session."""
    said = lake.scan(MARKET_DAYS, first=first, last=last)
    return set(said.filter((pl.col("known_from") == "kis") & ~pl.col("is_open")).collect()["day"])


def closed_before(lake: Lake, now: datetime) -> set[date]:
    """Such days of the last two weeks; they decide whether KIS has corrected a day."""
    today = now.astimezone(calendar.SEOUL).date()
    return closed_by_kis(lake, today - calendar.LONGEST_CLOSURE, today)


def previous_session(lake: Lake, day: date) -> date:
    """The last day with a session before `day`."""
    closed = closed_by_kis(lake, day - calendar.LONGEST_CLOSURE, day)
    found = calendar.previous_trading_day(day)
    while found in closed:
        found = calendar.previous_trading_day(found)
    return found

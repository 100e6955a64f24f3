"""Sessions of the computed calendar that KIS has said are none, such as a holiday decreed late."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake
from kis_assets.tables import MARKET_DAYS


def said_closed(lake: Lake, first: date, last: date) -> set[date]:
    """The days of a span of which KIS has said that there is no session."""
    said = lake.scan(MARKET_DAYS, first=first, last=last)
    return set(said.filter((pl.col("known_from") == "kis") & ~pl.col("is_open")).collect()["day"])


def closed_before(lake: Lake, now: datetime) -> set[date]:
    """Those of the last two weeks, by which it is told whether a day has been corrected."""
    today = now.astimezone(calendar.SEOUL).date()
    return said_closed(lake, today - calendar.LONGEST_CLOSURE, today)


def previous_session(lake: Lake, day: date) -> date:
    """The last day before another on which there was a session."""
    closed = said_closed(lake, day - calendar.LONGEST_CLOSURE, day)
    found = calendar.previous_trading_day(day)
    while found in closed:
        found = calendar.previous_trading_day(found)
    return found

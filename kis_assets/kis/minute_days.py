"""Minutes of a day from the pages of the two charts. Pure: no request, no field names of KIS.

For a date without a session, the chart of past days returns another day's minutes as a success. The
chart of today fills future minutes, has flat bars for minutes without a trade, shows the volume of
the minute before in a minute without trades so far, and counts the closing auction twice. This
module detects all of these by the dates and by the cumulative trading value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar

Bar = dict[str, Any]

EXTENSION = timedelta(minutes=9)
"""How long after the close the bar of an extended closing auction may be; trades at the closing
price begin ten minutes after the close."""
MINUTE = timedelta(minutes=1)
ROUNDING = 0.01
"""The share by which a bar's value may exceed volume times highest price: adjusted prices are
rounded."""


class Page(NamedTuple):
    """Minutes of the requested day, newest first, unchanged.

    `others` are the other days on the page; `day_volume` is the stock's volume on the current day.
    """

    bars: list[Bar]
    others: frozenset[date]
    day_volume: int | None


Ask = Callable[[datetime, datetime], Page]
"""Requests the page that ends at the first instant, and drops bars after the second."""


def last_minute(session: calendar.Session, *, regular_only: bool) -> datetime:
    """The latest minute that a day may have, including the after-market.

    It is unknown whether its last bar is 19:59 or 20:00, and whether it ends later on a day that
    closes late.
    """
    if regular_only or session.after_market is None:
        return session.closes_at + EXTENSION
    return session.over_at + session.late_by


def session_of(started_at: datetime, session: calendar.Session) -> str | None:
    """The session of a minute: regular, after_market, or None for neither."""
    if session.after_market and started_at >= session.after_market[0]:
        return "after_market"
    is_regular = session.opens_at <= started_at <= session.closes_at + EXTENSION
    return "regular" if is_regular else None


def gather(ask: Ask, session: calendar.Session, until: datetime) -> Page:
    """All minutes of a day, page by page, combined into one page.

    The day is complete if its oldest minute is at the open, or if that minute's cumulative value is
    its own value. Otherwise the last page may have been a failure, or there were trades before the
    open. Then the oldest minute is requested again, and the day before must follow it directly. A
    short page proves nothing: a page that lost rows looks the same.

    Raises:
        UnexpectedAnswer: the day's beginning is missing, or a page has impossible days.
    """
    first, upto, latest = None, until, until
    bars: list[Bar] = []
    others = frozenset[date]()
    while True:
        page = ask(upto, latest)
        if not page.bars and not page.others:
            # The day before should follow the day's first minute, so an empty page may be a
            # failure.
            page = ask(upto, latest)
        first = first or page
        others |= page.others
        # A server that treats the bound as inclusive repeats the last bar.
        new = [bar for bar in page.bars if not bars or bar["started_at"] < bars[-1]["started_at"]]
        bars += new
        if bars and page.others:
            newest, before = max(page.others), calendar.previous_trading_day(session.day)
            if newest > session.day or (not page.bars and newest != before):
                raise UnexpectedAnswer(f"the answer holds {newest}, expected {session.day}")
        if not bars or bars[-1]["started_at"] <= session.opens_at:
            break
        latest = bars[-1]["started_at"]
        if new and not page.others:
            upto = latest - MINUTE
        elif _starts_the_day(bars):
            break
        elif upto != latest:
            upto = latest
        elif page.bars and page.others:
            break
        else:
            raise UnexpectedAnswer(
                f"the answer holds minutes of a part, expected {session.day}: they begin at "
                f"{latest:%H:%M} with {bars[-1]['value_so_far']:,} KRW traded by its end"
            )
    return Page(bars, others, first.day_volume)


def _starts_the_day(bars: list[Bar]) -> bool:
    """Whether nothing was traded before the oldest bar: its cumulative value is its own value.

    A later split has changed prices but not values; the other bars show the factor.
    """
    scales = [
        (newer["value_so_far"] - older["value_so_far"]) / (newer["volume"] * newer["close"])
        for newer, older in pairwise(bars)
        if newer["volume"] and newer["value_so_far"] > older["value_so_far"]
    ]
    oldest = bars[-1]
    dearest = max(oldest[name] for name in ("open", "high", "low", "close"))
    own = oldest["volume"] * dearest * (median(scales) if scales else 1.0)
    return oldest["value_so_far"] <= own * (1 + ROUNDING)


def with_values(bars: list[Bar], session: calendar.Session) -> list[Bar]:
    """A day's minutes, oldest first, each with its own value: the difference of cumulative values.

    Minutes outside both sessions, such as trades at the closing price, count only in the sums.

    Raises:
        UnexpectedAnswer: a cumulative value falls.
    """
    found: list[Bar] = []
    so_far = 0
    for bar in reversed(bars):
        value, so_far = bar["value_so_far"] - so_far, bar["value_so_far"]
        if value < 0:
            raise UnexpectedAnswer(f"the value traded until {bar['started_at']:%H:%M} falls")
        name = session_of(bar["started_at"], session)
        if name:
            found.append(bar | {"trading_value": value, "session": name})
    return found


def past(found: Page, session: calendar.Session, now: datetime) -> list[Bar]:
    """The finished minutes with trades of a day, oldest first."""
    bars = with_values(found.bars, session)
    return [bar for bar in bars if bar["volume"] and _is_over(bar, now)]


def todays(found: Page, session: calendar.Session, now: datetime) -> list[Bar]:
    """The finished minutes with trades of the current or last session, oldest first.

    A flat bar has no volume; a bar with the volume of the minute before has no value.
    """
    bars = with_values(found.bars, session)
    bars = [bar for bar in bars if bar["volume"] and bar["trading_value"]]
    # Both sums are from the same moment and cover both sessions.
    is_too_much = found.day_volume is not None and (
        sum(bar["volume"] for bar in bars) > found.day_volume
    )
    auction = max((n for n, bar in enumerate(bars) if _is_closing(bar, session)), default=None)
    if auction is not None:
        bars[auction] = _auction_once(bars[auction], is_too_much)
    return [bar for bar in bars if _is_over(bar, now)]


def _is_over(bar: Bar, now: datetime) -> bool:
    """Whether a minute is finished: the current one is incomplete, and KIS invents later ones."""
    return bar["started_at"] + MINUTE <= now


def _is_closing(bar: Bar, session: calendar.Session) -> bool:
    return bar["session"] == "regular" and bar["started_at"] >= session.closes_at


def _auction_once(bar: Bar, is_too_much: bool) -> Bar:
    """Count the closing auction once: it has a single price, so its value gives its volume.

    `is_too_much` says that the day's minutes add up to more than the day's volume.
    """
    half, value = bar["volume"] // 2, bar["trading_value"]
    is_odd = bar["volume"] % 2
    off, off_by_half = (abs(n * bar["close"] - value) for n in (bar["volume"], half))
    if is_odd or not (off_by_half < off or is_too_much):
        return bar
    return bar | {"volume": half, "trading_value": value if off_by_half < off else value // 2}

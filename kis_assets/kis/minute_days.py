"""Minutes of a day out of the pages of the two charts. Pure: no request, no word of KIS's.

The chart of past days answers a date that is no session with another day's minutes, and says
success. The chart of today fills minutes that are to come, gives minutes without a trade as flat
bars, shows the minute before's volume in one that nobody has traded in yet, and counts the closing
auction twice. All that is told apart here by the dates and by the running sum of value.
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
"""How much later than the close the bar of an extended closing auction may stand; trades at the
closing price begin ten minutes after it."""
MINUTE = timedelta(minutes=1)
ROUNDING = 0.01
"""By what share a bar's value may be above its shares at its highest price: adjusted prices are
rounded."""


class Page(NamedTuple):
    """Minutes of the day asked for, newest first, as they came.

    `others` are the days that the page goes on with, `day_volume` is what the stock has traded on
    the day that it is now.
    """

    bars: list[Bar]
    others: frozenset[date]
    day_volume: int | None


Ask = Callable[[datetime, datetime], Page]
"""Asks for the page that ends with the first instant, and takes no bar after the second one."""


def last_minute(session: calendar.Session, *, regular_only: bool) -> datetime:
    """The latest minute that a day may have, of the after-market where a stock has one.

    Whether its last bar is 19:59 or 20:00 is not known, nor whether it lasts longer on a day that
    closes late.
    """
    if regular_only or session.after_market is None:
        return session.closes_at + EXTENSION
    return session.over_at + session.late_by


def session_of(started_at: datetime, session: calendar.Session) -> str | None:
    """The session of a day that a minute lies in: regular, after_market, or None of both."""
    if session.after_market and started_at >= session.after_market[0]:
        return "after_market"
    is_regular = session.opens_at <= started_at <= session.closes_at + EXTENSION
    return "regular" if is_regular else None


def gather(ask: Ask, session: calendar.Session, until: datetime) -> Page:
    """All of a day's minutes, page by page, as if they were one page.

    The day is whole when its oldest minute is at the open, or its running sum is its own. Else the
    page before may have been a lapse, or something was traded before the open: then the oldest
    minute is asked for once more, and must come with the day before right behind it. A short page
    says nothing: one that lost rows on its way looks the same.

    Raises:
        UnexpectedAnswer: the day's beginning is missing, or a page is of days that cannot come
            there.
    """
    first, upto, latest = None, until, until
    bars: list[Bar] = []
    others = frozenset[date]()
    while True:
        page = ask(upto, latest)
        if not page.bars and not page.others:
            # Before the day's first minute there are those of the day before: this may be a lapse.
            page = ask(upto, latest)
        first = first or page
        others |= page.others
        # A server that takes the bound for inclusive gives the last bar once more.
        new = [bar for bar in page.bars if not bars or bar["started_at"] < bars[-1]["started_at"]]
        bars += new
        if bars and page.others:
            newest, before = max(page.others), calendar.previous_trading_day(session.day)
            if newest > session.day or (not page.bars and newest != before):
                raise UnexpectedAnswer(f"the answer holds {newest}, asked was {session.day}")
        if not bars or bars[-1]["started_at"] <= session.opens_at:
            break
        latest = bars[-1]["started_at"]
        if new and not page.others:
            upto = latest - MINUTE
        elif _is_the_first(bars):
            break
        elif upto != latest:
            upto = latest
        elif page.bars and page.others:
            break
        else:
            raise UnexpectedAnswer(
                f"the answer holds minutes of a part, asked was {session.day}: they begin at "
                f"{latest:%H:%M} with {bars[-1]['value_so_far']:,} KRW traded by its end"
            )
    return Page(bars, others, first.day_volume)


def _is_the_first(bars: list[Bar]) -> bool:
    """Whether nothing was traded before the oldest bar: its running sum is what it traded itself.

    A split since has moved prices and not values; how far, the other bars tell.
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
    """A day's minutes, oldest first, each with its own value: the difference of running sums.

    What lies in neither session, such as trades at the closing price, only counts into the sums.

    Raises:
        UnexpectedAnswer: a running sum falls.
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
    """The minutes of a day that are over and had a trade, oldest first."""
    bars = with_values(found.bars, session)
    return [bar for bar in bars if bar["volume"] and _is_over(bar, now)]


def todays(found: Page, session: calendar.Session, now: datetime) -> list[Bar]:
    """The minutes of the running or the last session that are over and had a trade, oldest first.

    A flat bar has no volume; one that shows the volume of the minute before has no value.
    """
    bars = with_values(found.bars, session)
    bars = [bar for bar in bars if bar["volume"] and bar["trading_value"]]
    # Both are of the moment of asking and of both sessions.
    is_too_much = found.day_volume is not None and (
        sum(bar["volume"] for bar in bars) > found.day_volume
    )
    auction = max((n for n, bar in enumerate(bars) if _is_closing(bar, session)), default=None)
    if auction is not None:
        bars[auction] = _undoubled(bars[auction], is_too_much)
    return [bar for bar in bars if _is_over(bar, now)]


def _is_over(bar: Bar, now: datetime) -> bool:
    """The minute that runs is not what it will be, and what KIS shows of later ones is invented."""
    return bar["started_at"] + MINUTE <= now


def _is_closing(bar: Bar, session: calendar.Session) -> bool:
    return bar["session"] == "regular" and bar["started_at"] >= session.closes_at


def _undoubled(bar: Bar, is_too_much: bool) -> Bar:
    """The closing auction once: it has one price, so its value tells its volume.

    `is_too_much` says that the day's minutes add up to more than the day.
    """
    half, value = bar["volume"] // 2, bar["trading_value"]
    is_odd = bar["volume"] % 2
    off, off_by_half = (abs(n * bar["close"] - value) for n in (bar["volume"], half))
    if is_odd or not (off_by_half < off or is_too_much):
        return bar
    return bar | {"volume": half, "trading_value": value if off_by_half < off else value // 2}

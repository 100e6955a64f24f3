"""Trading days and session times of KRX. Pure: no network.

The closed days come from `krx_holidays.csv` for the years that it holds, and from the `holidays`
package (its XKRX calendar) for later years. The rows of `krx_sessions.csv` correct both, and hold
the days with unusual hours. A session is the regular session, from the trade of the opening auction
to the trade of the closing auction; since 2026-09-14 an after-market follows it.

Every function takes and returns days of Seoul. A day outside the calendar's range raises a
ValueError.
"""

from __future__ import annotations

import csv
from bisect import bisect_left, bisect_right
from collections.abc import Container
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

SEOUL = ZoneInfo("Asia/Seoul")

FIRST_DAY = date(2000, 1, 1)
"""First day of the calendar: XKRX of `holidays` starts here."""
LAST_DAY = date(2100, 12, 31)
"""Last day of the calendar: its lunar holidays end here. Elections and decrees may add holidays."""
LONGEST_CLOSURE = timedelta(days=15)
"""KRX was never closed for longer, so the session before a day lies within this time."""

_SPECIAL_DAYS = Path(__file__).with_name("krx_sessions.csv")
_HOLIDAYS = Path(__file__).with_name("krx_holidays.csv")

_OPENS = time(9, 0)
_OPENS_FIRST_DAY = time(10, 0)
# KRX moved the close from 15:00 to 15:30 on this day.
_LONGER_SINCE = date(2016, 8, 1)
_CLOSES = time(15, 30)
_CLOSES_BEFORE = time(15, 0)
_NOTE_FIRST_DAY = "first trading day of the year opens at 10:00"

# Block and single-price trades, which count into a day's volume, ended this long after the close.
_OFF_HOURS = timedelta(minutes=270)

AUCTION_OVER = timedelta(minutes=10)
"""After this time the closing auction has certainly ended; it may be extended."""
AFTER_MARKET_SINCE = date(2026, 9, 14)
"""The first day on which KRX trades from 16:00 to 20:00, continuously, in shares of KOSPI and
KOSDAQ."""
CLOSING_PRICE = timedelta(minutes=30)
"""How long trading at the closing price goes on after the close."""
_AFTER_MARKET_ENDS = time(20, 0)


@dataclass(frozen=True)
class Session:
    """The regular session of one trading day.

    `opens_at` is the start of continuous trading and `closes_at` the end of the closing auction,
    both aware, in Seoul. `known_from` says whether the hours follow from the rules or from a listed
    exception; `note` says why they are unusual, None on an ordinary day.
    """

    day: date
    opens_at: datetime
    closes_at: datetime
    note: str | None
    known_from: Literal["computed", "override"]

    @property
    def closing_price_until(self) -> datetime:
        """When trading at the closing price ends and the after-market, if any, begins.

        From the close until this moment the price of a quote is the official close.
        """
        return self.closes_at + CLOSING_PRICE

    @property
    def after_market(self) -> tuple[datetime, datetime] | None:
        """Start and end of KRX's after-market; None on days before 2026-09-14.

        A late close delays its start but not its end, as on 2025-11-13 with the sessions that it
        replaced.
        """
        if self.day < AFTER_MARKET_SINCE:
            return None
        return self.closing_price_until, datetime.combine(self.day, _AFTER_MARKET_ENDS, SEOUL)

    @property
    def over_at(self) -> datetime:
        """The end of the day's last trading. Its volume is final then; its close may not be.

        `finality.final_at` says when a candle is final.
        """
        after_market = self.after_market
        return after_market[1] if after_market else self.closes_at + _OFF_HOURS

    @property
    def late_by(self) -> timedelta:
        """How much later than on an ordinary day the session closes."""
        return self.closes_at - ordinary_session(self.day).closes_at


@dataclass(frozen=True)
class _Special:
    """One row of the file of special days."""

    kind: str
    opens: time | None
    closes: time | None
    note: str


def now() -> datetime:
    """This instant, aware, in Seoul."""
    return datetime.now(SEOUL)


def today() -> date:
    """The calendar day in Seoul, in any time zone of the machine."""
    return now().date()


def is_trading_day(day: date) -> bool:
    """True when KRX holds a session on that day.

    Raises:
        ValueError: the day is outside the calendar.
        TypeError: a datetime was given: which day it is depends on its zone.
    """
    _check(day)
    return day in _open_days(day.year)


def trading_days(first: date, last: date) -> list[date]:
    """The trading days from `first` to `last`, both included, ascending; empty when reversed.

    Raises:
        ValueError: one of the two is outside the calendar.
    """
    _check(first)
    _check(last)
    found: list[date] = []
    for year in range(first.year, last.year + 1):
        days = _ordered_days(year)
        found += days[bisect_left(days, first) : bisect_right(days, last)]
    return found


def known_trading_days(first: date, last: date) -> list[date]:
    """The trading days of a span that the calendar knows, ascending: none before it begins.

    Raises:
        ValueError: `last` is after the calendar's end.
    """
    return trading_days(max(first, FIRST_DAY), last) if last >= FIRST_DAY else []


def possible_trading_days(first: date, last: date) -> list[date]:
    """The trading days of a span, ascending; before the calendar begins, all days but Sundays.

    Raises:
        ValueError: `last` is after the calendar's end.
    """
    before = _calendar_days(first, min(last, FIRST_DAY - timedelta(days=1)))
    return [day for day in before if day.weekday() < 6] + known_trading_days(first, last)


def closed_weekdays(first: date, last: date) -> list[date]:
    """The days from Monday to Friday, `first` to `last` included, on which KRX is closed.

    These are what a partition definition by weekday has to exclude.

    Raises:
        ValueError: one of the two is outside the calendar.
    """
    opened = set(trading_days(first, last))
    return [day for day in _calendar_days(first, last) if day.weekday() < 5 and day not in opened]


def previous_trading_day(day: date) -> date:
    """The last trading day strictly before `day`, which may be any day.

    Raises:
        ValueError: `day` is outside the calendar, or nothing in the calendar lies before it.
    """
    return _neighbour(day, -1)


def next_trading_day(day: date) -> date:
    """The first trading day strictly after `day`, which may be any day.

    Raises:
        ValueError: `day` is outside the calendar, or nothing in the calendar lies after it.
    """
    return _neighbour(day, +1)


def session(day: date) -> Session | None:
    """The regular session of that day; None when KRX is closed.

    Raises:
        ValueError: the day is outside the calendar.
    """
    if not is_trading_day(day):
        return None
    special = _special_days().get(day)
    if special and special.opens and special.closes:
        return _session(day, special.opens, special.closes, special.note, "override")
    closes = _CLOSES if day >= _LONGER_SINCE else _CLOSES_BEFORE
    if day == _ordered_days(day.year)[0]:
        return _session(day, _OPENS_FIRST_DAY, closes, _NOTE_FIRST_DAY, "computed")
    return _session(day, _OPENS, closes, special.note if special else None, "computed")


def ordinary_session(day: date) -> Session:
    """A session of ordinary hours on that day, even if KRX is closed then."""
    closes = _CLOSES if day >= _LONGER_SINCE else _CLOSES_BEFORE
    return _session(day, _OPENS, closes, None, "computed")


def latest_session(at: datetime) -> Session:
    """The newest session that has opened by that instant: the current one or the last one.

    Raises:
        ValueError: `at` has no time zone, or no session of the calendar has opened by then.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone; give an aware datetime")
    day = at.astimezone(SEOUL).date()
    current = session(day)
    if current is not None and current.opens_at <= at:
        return current
    before = session(previous_trading_day(day))
    if before is None:  # cannot be: a trading day has a session
        raise ValueError(f"no session of KRX is known at {at.isoformat()}")
    return before


def closed_session(at: datetime) -> Session:
    """The newest session that has closed by that instant.

    Raises:
        ValueError: as `latest_session` does.
    """
    latest = latest_session(at)
    if latest.closes_at <= at:
        return latest
    return latest_session(latest.opens_at - timedelta(seconds=1))


def live_session(at: datetime) -> Session | None:
    """The session whose prices quotes show at that instant; None if that is uncertain.

    Quotes show a session's prices from its open until midnight before the next session. In the
    hours before an open, quotes may be reset or still those of the day before, and do not say
    which.
    """
    session = latest_session(at)
    return session if at.astimezone(SEOUL).date() < next_trading_day(session.day) else None


def _check(day: date) -> None:
    # The type checker accepts a datetime as a date, but they are never equal: the day would look
    # closed.
    if isinstance(day, datetime):
        raise TypeError(f"expected a calendar day, not the instant {day.isoformat()}")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"the KRX calendar covers {FIRST_DAY} to {LAST_DAY}, not {day}")


def _calendar_days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@cache
def _special_days() -> dict[date, _Special]:
    with _SPECIAL_DAYS.open(encoding="utf-8", newline="") as file:
        return {
            date.fromisoformat(row["day"]): _Special(
                kind=row["kind"],
                opens=time.fromisoformat(row["opens_at"]) if row["opens_at"] else None,
                closes=time.fromisoformat(row["closes_at"]) if row["closes_at"] else None,
                note=row["reason"],
            )
            for row in csv.DictReader(file)
        }


@cache
def _listed_holidays() -> dict[int, frozenset[date]]:
    """The holidays on weekdays of the listed years, by year."""
    with _HOLIDAYS.open(encoding="utf-8", newline="") as file:
        days = [date.fromisoformat(row["day"]) for row in csv.DictReader(file)]
    return {
        year: frozenset(day for day in days if day.year == year)
        for year in {day.year for day in days}
    }


def _holidays(year: int) -> Container[date]:
    listed = _listed_holidays()
    if year in listed:
        return listed[year]
    # The package takes 0.3 s to import: it brings the holidays of every country.
    import holidays

    return holidays.financial_holidays("XKRX", years=year)


@cache
def _ordered_days(year: int) -> list[date]:
    closed = _holidays(year)
    special = _special_days()
    days: list[date] = []
    for day in _calendar_days(date(year, 1, 1), date(year, 12, 31)):
        kind = special[day].kind if day in special else ""
        is_open = day.weekday() < 5 and day not in closed
        if kind == "closed":
            is_open = False
        elif kind in ("open", "session"):
            is_open = True
        if is_open:
            days.append(day)
    return days


@cache
def _open_days(year: int) -> frozenset[date]:
    return frozenset(_ordered_days(year))


def _neighbour(day: date, step: int) -> date:
    _check(day)
    found = day + timedelta(days=step)
    while not is_trading_day(found):
        found += timedelta(days=step)
    return found


def _session(
    day: date,
    opens: time,
    closes: time,
    note: str | None,
    known_from: Literal["computed", "override"],
) -> Session:
    return Session(
        day=day,
        opens_at=datetime.combine(day, opens, SEOUL),
        closes_at=datetime.combine(day, closes, SEOUL),
        note=note,
        known_from=known_from,
    )

"""Where a share trades: KRX, the alternative system NXT, or both as one. Hours; no network.

The sessions of `calendar` are those of KRX only. Rows of different venues are never mixed: each
venue has its own folder and its own value in the column `source`.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import NamedTuple

from kis_assets.exchange import calendar

SIMULATED = "simulated_"
"""How a source is called that a server of this machine stands in for: `simulated_kis`."""


def krx_beside(source: str) -> str:
    """What KRX's own figures are called that belong beside rows of a source."""
    return f"{SIMULATED}krx" if source.startswith(SIMULATED) else "krx"


class Venue(Enum):
    """The venue of a quote; UNIFIED is KRX and NXT together."""

    KRX = "krx"
    NXT = "nxt"
    UNIFIED = "unified"

    def named(self, source: str) -> str:
        """The name of a source on this venue: `kis` on KRX, else for example `kis-nxt`."""
        return source if self is Venue.KRX else f"{source}-{self.value}"


MOCK = "MOCK DATA - an invented market; nothing in it is real"
"""What whoever reads rows that no exchange made is told."""


def is_invented(source: str) -> bool:
    """Whether rows of a source, by its name, are not those of KIS or KRX, on whatever venue."""
    return source not in {venue.named(name) for venue in Venue for name in ("kis", "krx")}


def mark_of(source: str) -> str:
    """The mark of rows of a source: empty where they are KIS's or KRX's own."""
    return MOCK if is_invented(source) else ""


class Phase(NamedTuple):
    """One trading phase of a day; the instants are aware, in Seoul."""

    name: str
    opens_at: datetime
    closes_at: datetime


NXT_SINCE = date(2025, 3, 4)
"""The first day of NXT."""
_NXT_CLOSES = time(20, 0)
_USUAL_OPEN = time(9, 0)
_NXT_OPENED = time(10, 0)


def phases(day: date, venue: Venue = Venue.KRX) -> tuple[Phase, ...]:
    """The trading phases of a venue on a day, in order; empty if KRX is closed.

    KRX: regular, closing_price (15:30 to 16:00, trades from 15:40 on), and since 2026-09-14
    after_market (16:00 to 20:00). NXT: pre_market 08:00 to 08:50, main 09:00:30 to 15:20,
    after_market 15:40 to 20:00, with orders from 15:30 on. NXT has no pre-market on its first day
    and when KRX opens late. When KRX closes late, the end of main and the start of the after-market
    move as well; the end of the after-market does not. UNIFIED covers the first to the last moment
    of both venues.

    Raises:
        ValueError: the day is outside the calendar of KRX.
    """
    session = calendar.session(day)
    if session is None:
        return ()
    regular = Phase("regular", session.opens_at, session.closes_at)
    closing = Phase("closing_price", session.closes_at, session.closing_price_until)
    after = session.after_market
    of_krx = (regular, closing, *((Phase("after_market", *after),) if after else ()))
    if venue is Venue.KRX or (venue is Venue.UNIFIED and day < NXT_SINCE):
        return of_krx
    if day < NXT_SINCE:
        return ()
    opens, closes = session.opens_at, session.closes_at
    starts = datetime.combine(day, _NXT_OPENED, calendar.SEOUL) if day == NXT_SINCE else opens
    before: tuple[Phase, ...] = ()
    if starts.time() == _USUAL_OPEN:
        before = (Phase("pre_market", opens - timedelta(hours=1), opens - timedelta(minutes=10)),)
    ends = datetime.combine(day, _NXT_CLOSES, calendar.SEOUL)
    if venue is Venue.UNIFIED:
        return (*before, regular, closing, Phase("after_market", closing.closes_at, ends))
    return (
        *before,
        Phase("main", starts + timedelta(seconds=30), closes - timedelta(minutes=10)),
        Phase("after_market", closes + timedelta(minutes=10), ends),
    )


def session_at(day: date, at: datetime, venue: Venue = Venue.KRX) -> str:
    """The name of the session at an instant of a trading day.

    `pre_open` before the day's trading, `closed` after it and in breaks; NXT's main market is
    called regular.
    """
    found = phases(day, venue)
    if found and at < found[0].opens_at:
        return "pre_open"
    for phase in found:
        if phase.opens_at <= at < phase.closes_at:
            return "regular" if phase.name == "main" else phase.name
    return "closed"


def venue_session(day: date, venue: Venue = Venue.KRX) -> calendar.Session | None:
    """The first and last moment of a venue's trading day; None if it does not trade.

    Raises:
        ValueError: the day is outside the calendar of KRX.
    """
    found, session = phases(day, venue), calendar.session(day)
    if session is None or not found:
        return None
    return calendar.Session(
        day, found[0].opens_at, found[-1].closes_at, session.note, session.known_from
    )


def latest_session(at: datetime, venue: Venue = Venue.KRX) -> calendar.Session:
    """The newest session of a venue that has opened at that instant.

    Raises:
        ValueError: `at` has no time zone, or the venue had no session by then.
    """
    latest = calendar.latest_session(at)
    if venue is Venue.KRX:
        return latest
    # The pre-market opens before KRX does.
    for day in (at.astimezone(calendar.SEOUL).date(), latest.day):
        session = venue_session(day, venue)
        if session is not None and session.opens_at <= at:
            return session
    raise ValueError(f"{venue.name} had no session by {at.isoformat()}: NXT began on {NXT_SINCE}")

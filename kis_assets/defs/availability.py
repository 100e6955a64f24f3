"""Whether a partition may be asked for now. Live data belongs to the latest session alone."""

from __future__ import annotations

from datetime import date, datetime

from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue, latest_session, venue_session
from kis_assets.kis import master_files
from kis_assets.krx import publication
from kis_assets.lake.closed_days import closed_by_kis
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings


def live_session(
    partition_key: str, now: datetime, lake: Lake | None = None, venue: Venue = Venue.KRX
) -> calendar.Session:
    """The session of that partition, when its quotes are what the market shows now.

    With a lake, a day that KIS has said is closed is refused like any holiday.

    Raises:
        InvalidRequest: the day is another one. Quotes of the past cannot be asked for, and today's
            are never stored under another day.
    """
    day = date.fromisoformat(partition_key)
    if not calendar.is_trading_day(day):
        raise InvalidRequest(f"{day} is not a trading day of KRX; choose a trading day")
    if lake is not None:
        refuse_closed(lake, day)
    session = venue_session(day, venue)
    if session is None or now < session.opens_at:
        opens = f" at {session.opens_at:%H:%M}" if session else ""
        raise InvalidRequest(f"the session of {day} has not begun; it opens{opens} in Seoul")
    latest = latest_session(now, venue).day
    if day != latest:
        raise InvalidRequest(
            f"live data of {day} is no longer available: the latest session is {latest}, and what "
            "the market shows now belongs to it; what is stored is left alone"
        )
    if now.astimezone(calendar.SEOUL).date() >= calendar.next_trading_day(latest):
        raise InvalidRequest(
            f"live data of {day} is no longer available: it is the morning of the next session, "
            f"and quotes may be reset already; ask again after the open for {now.date()}"
        )
    return session


def refuse_without_today(settings: Settings, what: str) -> None:
    """Refuse what is of the day that runs where the source tells of past days alone.

    Raises:
        NotSupported: the source is KRX.
    """
    if settings.source_type == "krx":
        raise publication.only_past_days(what)


def refuse_closed(lake: Lake, day: date) -> None:
    """Refuse a day that the computed calendar has open and KIS has said is closed.

    Raises:
        InvalidRequest: it is one, such as a holiday decreed at short notice.
    """
    if closed_by_kis(lake, day, day):
        raise InvalidRequest(
            f"{day} is not a trading day of KRX, as KIS's calendar says; choose a trading day"
        )


def master_day(partition_key: str, now: datetime, settings: Settings) -> date:
    """The day of that partition, when the master files of this moment are its own.

    KRX tells of any day that it has published.

    Raises:
        InvalidRequest: the files tell of another day, or KRX does not of this one.
    """
    day = date.fromisoformat(partition_key)
    if settings.source_type == "krx":
        publication.check(day, now)
        return day
    if not calendar.is_trading_day(day):
        raise InvalidRequest(f"{day} is not a trading day of KRX; choose a trading day")
    is_new = calendar.is_trading_day(now.date()) and now.time() >= master_files.ARE_NEW
    of = now.date() if is_new else calendar.latest_session(now).day
    if day != of:
        raise InvalidRequest(f"the master files of this moment tell of {of}, not of {day}")
    return day


def month(partition_key: str, latest: date) -> tuple[date, date]:
    """First day of a month and its last day until `latest`, the newest that can be asked for.

    Raises:
        InvalidRequest: no session of the month has opened yet.
    """
    first = date.fromisoformat(partition_key)
    last = date(first.year + first.month // 12, first.month % 12 + 1, 1) - date.resolution
    if latest < first:
        raise InvalidRequest(f"no session of {first:%Y-%m} has begun; the latest was {latest}")
    return first, min(last, latest)

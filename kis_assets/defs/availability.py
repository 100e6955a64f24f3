"""Checks whether a partition can be fetched now. Live data belongs to the latest session only."""

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
    """The session of this partition, if the market shows its quotes now.

    With a lake, a day that KIS states as closed is refused like any holiday.

    Raises:
        InvalidRequest: it is another day. Past quotes are not available, and today's quotes are
            never stored under another day.
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
            f"live data of {day} is no longer available: the latest session is {latest}, and the "
            "market shows that one now; stored rows are unchanged"
        )
    if now.astimezone(calendar.SEOUL).date() >= calendar.next_trading_day(latest):
        raise InvalidRequest(
            f"live data of {day} is no longer available: it is the morning of the next session, "
            f"and quotes may be reset already; fetch {now.date()} after the open"
        )
    return session


def refuse_without_today(settings: Settings, what: str) -> None:
    """Refuse data of the current day if the source has only past days.

    Raises:
        NotSupported: the source is KRX.
    """
    if settings.source_type == "krx":
        raise publication.only_past_days(what)


def refuse_closed(lake: Lake, day: date) -> None:
    """Refuse a day that is open in the computed calendar but that KIS states as closed.

    Raises:
        InvalidRequest: it is such a day, for example a holiday decreed at short notice.
    """
    if closed_by_kis(lake, day, day):
        raise InvalidRequest(
            f"{day} is not a trading day of KRX, as KIS's calendar states; choose a trading day"
        )


def master_day(partition_key: str, now: datetime, settings: Settings) -> date:
    """The day of this partition, if the current master files are of that day.

    KRX has any day that it has published.

    Raises:
        InvalidRequest: the files are of another day, or KRX has not published this day.
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
        raise InvalidRequest(f"the current master files are of {of}, not of {day}")
    return day


def month(partition_key: str, latest: date) -> tuple[date, date]:
    """The first and last day of a month; the last is at most `latest`, the newest available day.

    Raises:
        InvalidRequest: no session of the month has opened yet, or the key is another of its days.
    """
    first = date.fromisoformat(partition_key)
    if first.day != 1:  # Dagster's API takes any key, and the days before it would be lost
        raise InvalidRequest(f"{first} is no partition; the month is {first.replace(day=1)}")
    last = date(first.year + first.month // 12, first.month % 12 + 1, 1) - date.resolution
    if latest < first:
        raise InvalidRequest(f"no session of {first:%Y-%m} has begun; the latest was {latest}")
    return first, min(last, latest)

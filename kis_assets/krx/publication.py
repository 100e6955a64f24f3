"""For which days KRX's Open API has data, and when it publishes them. Pure: no network.

KRX publishes a trading day's figures on the morning of the next trading day. The hour is not
documented; users observe 08:00 in Seoul. It publishes nothing about the current day.
"""

from __future__ import annotations

from datetime import date, datetime, time

from kis_assets.errors import InvalidRequest, NotSupported
from kis_assets.exchange import calendar

MARKETS = {
    "KOSPI": date(2010, 1, 4),
    "KOSDAQ": date(2010, 1, 4),
    "KONEX": date(2013, 7, 1),
}
"""The markets, and the first day for which KRX has data of each."""
FIRST_DAY = min(MARKETS.values())
_AT = time(8, 0)


def published_at(day: date) -> datetime:
    """When KRX publishes a trading day."""
    return datetime.combine(calendar.next_trading_day(day), _AT, calendar.SEOUL)


def newest(now: datetime) -> date:
    """The newest trading day that is published at this moment."""
    day = calendar.previous_trading_day(now.astimezone(calendar.SEOUL).date())
    return day if published_at(day) <= now else calendar.previous_trading_day(day)


def check(day: date, now: datetime, market: str = "KOSPI") -> None:
    """Refuse a day for which KRX has no data.

    Raises:
        InvalidRequest: the day is not a trading day, before KRX's history of the market, or
            unpublished.
    """
    if day < MARKETS[market]:
        raise InvalidRequest(f"KRX has {market} from {MARKETS[market]} on; {day} is earlier")
    if not calendar.is_trading_day(day):
        raise InvalidRequest(f"{day} is not a trading day of KRX; choose a trading day")
    if published_at(day) > now:
        raise InvalidRequest(
            f"KRX has not published {day} yet: it does on the next trading day, "
            f"{published_at(day):%Y-%m-%d} at {_AT:%H:%M} in Seoul"
        )


def days(first: date, last: date, now: datetime) -> list[date]:
    """The trading days of a span for which KRX has data, oldest first.

    Raises:
        InvalidRequest: there is none.
    """
    latest = newest(now)
    found = calendar.trading_days(max(first, FIRST_DAY), min(last, latest))
    if not found:
        raise InvalidRequest(
            f"KRX has no trading day from {first} to {last}: its history goes from "
            f"{FIRST_DAY} to {latest}, the newest day published"
        )
    return found


def only_past_days(what: str) -> NotSupported:
    """The error for a request about the current day."""
    return NotSupported(
        f"KRX publishes one row a stock of days that are over, and no {what}; KIS has them "
        "(DATA_SOURCE_TYPE=kis)"
    )

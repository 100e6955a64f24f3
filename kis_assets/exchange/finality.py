"""When what is known of a day changes no more. Pure; the only place that says so.

Since 2026-09-14 shares trade until 20:00, and KIS shows the last trade of the after-market as the
day's close, high and low until the night before the next session. Then they return to those of the
regular session. Over a weekend that night is Sunday's. Volume and trading value are final at 20:00.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from kis_assets.exchange import calendar

CORRECTED_BY = time(6, 0)
"""When KIS has put the regular session's prices back, on the morning of the next session. Of eleven
bars that were looked at, one was still to come at 05:28; at 07:56 all 25 were there."""
REFETCHED_AFTER = timedelta(hours=2, minutes=30)
"""How long after that the morning's schedules have fetched the final candles: at 08:30."""
MINUTES_SETTLE = timedelta(minutes=5)
"""How long after the day's last trade its minutes are complete."""

SETTLED_BY = time(7, 40)
"""When what was published of a day overnight has come: flows, short sales, loans. Nobody states an
hour; the figures of the day before were there at 08:00 in every collection that was looked at."""

_CLOSED_FOR = date(2026, 12, 31)


def final_at(day: date) -> datetime:
    """The instant from which a fetched daily candle of a trading day is final.

    Raises:
        ValueError: the day is outside the calendar, or no trading day.
    """
    if day >= calendar.AFTER_MARKET_SINCE:
        return _corrected_at(calendar.next_trading_day(day))
    session = calendar.session(day)
    if session is None:
        raise ValueError(f"{day} is no trading day of KRX")
    return session.over_at


def is_final(day: date, fetched_at: datetime) -> bool:
    """Whether a daily candle that was fetched at that instant is final.

    Of days before the calendar begins, and of days that it calls closed, all are over.
    """
    if day < calendar.FIRST_DAY or not calendar.is_trading_day(day):
        return fetched_at.astimezone(calendar.SEOUL).date() > day
    return fetched_at >= final_at(day)


def newest_final_day(now: datetime, closed: Collection[date] = ()) -> date:
    """The newest trading day whose candles are final when they are fetched at that instant.

    `closed` are days of the calendar on which there was no session after all: the night before one
    of them corrects nothing.
    """
    day = calendar.latest_session(now).day
    while not is_final(day, now):
        day = calendar.previous_trading_day(day)
    while day >= calendar.AFTER_MARKET_SINCE and now < _corrected_at(_next_open(day, closed)):
        day = calendar.previous_trading_day(day)
    return day


def newest_settled_day(now: datetime, sessions: int = 1, closed: Collection[date] = ()) -> date:
    """The newest trading day of which the morning of a session after it has come, 07:40.

    `sessions` is how many sessions after it: 1 for flows, 3 for credit. `closed` are as for
    `newest_final_day`.
    """
    local = now.astimezone(calendar.SEOUL)
    morning = local.date()
    if local.time() < SETTLED_BY:
        morning -= timedelta(days=1)
    opened: list[date] = []
    day = calendar.next_trading_day(morning)
    while len(opened) <= sessions:
        day = calendar.previous_trading_day(day)
        if day not in closed:
            opened.append(day)
    return opened[sessions]


def _corrected_at(following: date) -> datetime:
    return datetime.combine(following, CORRECTED_BY, calendar.SEOUL)


def _next_open(day: date, closed: Collection[date]) -> date:
    following = calendar.next_trading_day(day)
    return _next_open(following, closed) if following in closed else following


def refetched_by(day: date) -> datetime:
    """The instant by which the schedules have fetched final candles of a trading day."""
    at = final_at(day)
    return at + REFETCHED_AFTER if day >= calendar.AFTER_MARKET_SINCE else at


def doubted_day(now: datetime) -> date | None:
    """The day whose correction came in the night before this instant, until the next close.

    Whether it has come to each stock is then told by what KIS states beside its bars. None: nothing
    was corrected last night, or it was so long ago that it has come.
    """
    session = calendar.session(now.astimezone(calendar.SEOUL).date())
    if session is None or now >= session.closes_at:
        return None
    day = calendar.previous_trading_day(session.day)
    return day if day >= calendar.AFTER_MARKET_SINCE and is_final(day, now) else None


class Told(NamedTuple):
    """What a chart told of a stock on the morning after a day.

    `close` and `base_price` are of the day's bar, `stated` is the previous close beside the bars.
    """

    stock_code: str
    close: int
    base_price: int
    stated: int | None


def not_corrected(told: Collection[Told]) -> set[str]:
    """The stocks whose close is not the one that KIS states as the previous close.

    That is the day's official close, or still that of the day before, for all stocks alike: then
    nothing can be said. Most stocks tell which of the two it is. It is asked from `refetched_by`
    on: until then a close that is not the stated one is not final in either case.
    """
    moved = [it for it in told if it.stated and it.close != it.base_price]
    rolled = sum(it.stated == it.close for it in moved)
    waiting = sum(it.stated == it.base_price for it in moved)
    return {
        it.stock_code
        for it in told
        if it.stated and it.stated != it.close and (it.stated != it.base_price or rolled > waiting)
    }


def minutes_final_at(day: date) -> datetime:
    """The instant from which fetched minutes of a trading day are complete.

    Minutes do not change afterwards. On a day that closes late, the after-market might last as
    much longer: it did not when that was last seen, and to wait costs nothing.

    Raises:
        ValueError: the day is outside the calendar, or no trading day.
    """
    session = calendar.session(day)
    if session is None:
        raise ValueError(f"{day} is no trading day of KRX")
    late = session.late_by if session.after_market else timedelta()
    return session.over_at + late + MINUTES_SETTLE


def is_final_in_sql() -> str:
    """`is_final` of rows that were stored before this column was, in SQL of DuckDB and of Polars.

    Such rows were stored in 2026 at the latest.
    """
    days = calendar.trading_days(calendar.AFTER_MARKET_SINCE, _CLOSED_FOR)
    by_wait: dict[int, list[str]] = {}
    for day in days:
        wait = (calendar.next_trading_day(day) - day).days
        if wait > 1:
            by_wait.setdefault(wait, []).append(f"DATE '{day}'")
    # 20:00 in Seoul is 11:00 in UTC; 06:00 of the next day is 21:00 of this one.
    waits = "".join(
        f" WHEN trading_day IN ({', '.join(of)}) THEN {24 * wait - 3}"
        for wait, of in sorted(by_wait.items())
    )
    return (
        "EXTRACT(EPOCH FROM fetched_at) >= EXTRACT(EPOCH FROM CAST(trading_day AS TIMESTAMP)) "
        f"+ 3600 * CASE WHEN trading_day < DATE '{calendar.AFTER_MARKET_SINCE}' THEN 11{waits} "
        "ELSE 21 END"
    )

"""When the figures of a day are final. Pure; the only module with these rules.

Since 2026-09-14 shares trade until 20:00. KIS includes the after-market in the day's close, high
and low until the night before the next session (over a weekend, Sunday night); then it restores
those of the regular session. Volume and trading value are final at 20:00.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from kis_assets.exchange import calendar

CORRECTED_BY = time(6, 0)
"""When KIS has restored the regular session's prices, on the morning of the next session. At 05:28
one of eleven observed bars was not yet corrected; at 07:56 all 25 were."""
REFETCHED_AFTER = timedelta(hours=2, minutes=30)
"""After this further time, at 08:30, the morning's schedules have fetched the final candles."""
MINUTES_SETTLE = timedelta(minutes=5)
"""After this time from the day's last trade its minutes are complete."""

SETTLED_BY = time(7, 40)
"""When figures that are published overnight are available: flows, short sales, loans. No source
states an hour; every observed collection had the figures of the day before at 08:00."""

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
        raise ValueError(f"{day} is not a trading day of KRX")
    return session.over_at


def is_final(day: date, fetched_at: datetime) -> bool:
    """Whether a daily candle that was fetched at that instant is final.

    Candles of days before the calendar begins, and of days that it calls closed, are always final.
    """
    if day < calendar.FIRST_DAY or not calendar.is_trading_day(day):
        return fetched_at.astimezone(calendar.SEOUL).date() > day
    return fetched_at >= final_at(day)


def newest_final_day(now: datetime, closed: Collection[date] = ()) -> date:
    """The newest trading day whose candles are final if they are fetched at that instant.

    `closed` are trading days of the calendar without a session: KIS corrects nothing in the night
    before them.
    """
    day = calendar.latest_session(now).day
    while not is_final(day, now):
        day = calendar.previous_trading_day(day)
    while day >= calendar.AFTER_MARKET_SINCE and now < _corrected_at(_next_open(day, closed)):
        day = calendar.previous_trading_day(day)
    return day


def newest_settled_day(now: datetime, sessions: int = 1, closed: Collection[date] = ()) -> date:
    """The newest trading day whose overnight figures are available, from 07:40 of a later session.

    `sessions` is how many sessions later: 1 for flows, 3 for credit. `closed` is as for
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


def unconfirmed_day(now: datetime) -> date | None:
    """The day that KIS should have corrected in the last night; until the next close.

    The close that KIS states beside the bars shows whether a stock is corrected. None: no
    correction was due last night, or it is long past.
    """
    session = calendar.session(now.astimezone(calendar.SEOUL).date())
    if session is None or now >= session.closes_at:
        return None
    day = calendar.previous_trading_day(session.day)
    return day if day >= calendar.AFTER_MARKET_SINCE and is_final(day, now) else None


class ChartClose(NamedTuple):
    """Figures of a stock from a chart, on the morning after a day.

    `close` and `base_price` are from the day's bar; `stated` is the previous close beside the bars.
    """

    stock_code: str
    close: int
    base_price: int
    stated: int | None


def not_corrected(closes: Collection[ChartClose]) -> set[str]:
    """The stocks whose close differs from the previous close that KIS states.

    KIS states the day's official close, or for all stocks still that of the day before. In the
    second case nothing can be said. The majority of stocks shows which case it is. The result is
    used from `refetched_by` on: earlier, a close that differs is not final in either case.
    """
    moved = [it for it in closes if it.stated and it.close != it.base_price]
    rolled = sum(it.stated == it.close for it in moved)
    waiting = sum(it.stated == it.base_price for it in moved)
    return {
        it.stock_code
        for it in closes
        if it.stated and it.stated != it.close and (it.stated != it.base_price or rolled > waiting)
    }


def minutes_final_at(day: date) -> datetime:
    """The instant from which fetched minutes of a trading day are complete.

    Minutes do not change afterwards. On a day that closes late, the after-market might also end
    later: it did not when last observed, but waiting costs nothing.

    Raises:
        ValueError: the day is outside the calendar, or no trading day.
    """
    session = calendar.session(day)
    if session is None:
        raise ValueError(f"{day} is not a trading day of KRX")
    late = session.late_by if session.after_market else timedelta()
    return session.over_at + late + MINUTES_SETTLE


def is_final_in_sql() -> str:
    """`is_final` for rows stored before this column existed, in the SQL of DuckDB and Polars.

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

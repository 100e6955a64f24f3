"""Minutes: inquire-time-dailychartprice of past days, inquire-time-itemchartprice of today."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from itertools import pairwise

from kis_assets.errors import InvalidRequest, NotSupported, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.kis import minute_days
from kis_assets.kis.client import Client
from kis_assets.kis.daily_candles import chart_rows, daily_page, each_day
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import Field, Row, amount, clock, day, is_nothing, output, read
from kis_assets.kis.minute_days import EXTENSION, MINUTE, Bar, Page
from kis_assets.tables import MINUTE_CANDLES

log = logging.getLogger(__name__)

PAST_MINUTES = Endpoint("inquire-time-dailychartprice", "FHKST03010230", virtual=False)
TODAYS_MINUTES = Endpoint("inquire-time-itemchartprice", "FHKST03010200")
A_PAGE = {PAST_MINUTES: 120, TODAYS_MINUTES: 30}
"""Most minutes of one answer of each."""
SESSIONS_KEPT = MINUTE_CANDLES.sessions_kept

FIELDS = (
    Field("trading_day", "stck_bsop_date", day),
    Field("time", "stck_cntg_hour", clock),
    Field("open", "stck_oprc", amount),
    Field("high", "stck_hgpr", amount),
    Field("low", "stck_lwpr", amount),
    Field("close", "stck_prpr", amount),
    Field("volume", "cntg_vol", amount),
    Field("value_so_far", "acml_tr_pbmn", amount),
)


def kept_session(trading_day: date, now: datetime) -> calendar.Session:
    """The session of a day whose minutes are available now.

    Raises:
        InvalidRequest: the day has no session, has not begun, or is older than KIS's minutes.
    """
    if not calendar.FIRST_DAY <= trading_day <= calendar.LAST_DAY:
        raise InvalidRequest(f"{trading_day} is outside the calendar of KRX")
    session = calendar.session(trading_day)
    if session is None:
        raise InvalidRequest(f"{trading_day} is not a trading day of KRX; choose a trading day")
    if now < session.opens_at:
        raise InvalidRequest(
            f"the session of {trading_day} has not begun; it opens at {session.opens_at:%H:%M} "
            "in Seoul"
        )
    if trading_day < (oldest := oldest_kept(now)):
        raise InvalidRequest(
            f"the minutes of {trading_day} are no longer available: KIS keeps {SESSIONS_KEPT} "
            f"sessions, now from {oldest} on; what is stored is left alone"
        )
    return session


def oldest_kept(now: datetime) -> date:
    """The oldest session for which KIS has minutes at that instant."""
    latest = calendar.latest_session(now).day
    # With weekends and holidays, twice as many calendar days are enough.
    return calendar.trading_days(latest - timedelta(days=2 * SESSIONS_KEPT), latest)[-SESSIONS_KEPT]


def minutes(
    client: Client,
    code: str,
    day: date,
    *,
    regular_only: bool = False,
) -> list[Bar]:
    """The minutes with trades of a day, oldest first, from the chart that has them.

    `regular_only` leaves out the after-market; on other venues it is always left out.
    """
    regular_only |= client.venue is not Venue.KRX
    at_kis = client.clock.now()
    session = kept_session(day, at_kis)
    is_virtual = client.environment == "virtual"
    if at_kis > session.closes_at + EXTENSION and not is_virtual:
        return past_minutes(client, code, session, regular_only=regular_only)
    live = calendar.live_session(at_kis)
    if live is None or live.day != day:
        raise NotSupported(
            f"the virtual server has no minutes of past days, such as {day}; the real one has "
            "(KIS_USE_VIRTUAL_SERVER=false)"
        )
    return todays_minutes(client, code, session, regular_only=regular_only)


def each_minute(client: Client, code: str) -> Iterator[Bar]:
    """Minutes, newest first, session by session as far back as this server has them."""
    now = client.clock.now()
    latest = calendar.latest_session(now).day
    if client.environment == "virtual":
        yield from reversed(minutes(client, code, latest))
        log.info("%s: the virtual server has the minutes of %s only", code, latest)
        return
    # The daily bars say which days have minutes.
    for bar in each_day(client, code, oldest_kept(now), latest):
        if bar["has_traded"]:
            yield from reversed(minutes(client, code, bar["trading_day"]))


def past_minutes(
    client: Client, code: str, session: calendar.Session, *, regular_only: bool = False
) -> list[Bar]:
    """The finished minutes with trades of a day, oldest first; empty on a day without trades.

    A minute is finished by KIS's own clock. `regular_only` leaves out the after-market.

    Raises:
        UnexpectedAnswer: a day with trades has no minutes, or its beginning is missing.
    """
    now = client.settings.now()
    parameters = {
        "FID_INPUT_DATE_1": f"{session.day:%Y%m%d}",
        "FID_PW_DATA_INCU_YN": "Y",
        "FID_FAKE_TICK_INCU_YN": "",  # required; its values are undocumented
    }
    with _errors_about(PAST_MINUTES, code):
        found = _minutes_so_far(client, PAST_MINUTES, code, parameters, session, now, regular_only)
        if not found.bars:
            _confirm_none(client, code, session.day, found.others)
        return minute_days.past(found, session, client.clock.at_kis(now))


def _confirm_none(client: Client, code: str, day: date, others: frozenset[date]) -> None:
    """Confirm that an empty day had no trades: KIS also returns nothing if it fails."""
    for bar in daily_page(client, code, day, day):
        if bar["has_traded"] and bar["open"] and bar["volume"]:
            raise UnexpectedAnswer(
                f"the answer holds minutes of {max(others, default='no day')}, expected {day}"
            )


def todays_minutes(
    client: Client, code: str, session: calendar.Session, *, regular_only: bool = False
) -> list[Bar]:
    """The finished minutes with trades of the latest day, oldest first; see `past_minutes`.

    Raises:
        UnexpectedAnswer: only minutes of other days, or the day's beginning is missing.
    """
    now = client.settings.now()
    parameters = {"FID_PW_DATA_INCU_YN": "N", "FID_ETC_CLS_CODE": ""}
    with _errors_about(TODAYS_MINUTES, code):
        found = _minutes_so_far(
            client, TODAYS_MINUTES, code, parameters, session, now, regular_only
        )
        if found.others and not found.bars:
            raise UnexpectedAnswer(
                f"the answer holds minutes of {max(found.others)}, expected {session.day}"
            )
        return minute_days.todays(found, session, client.clock.at_kis(now))


def _minutes_so_far(
    client: Client,
    endpoint: Endpoint,
    code: str,
    parameters: dict[str, str],
    session: calendar.Session,
    now: datetime,
    regular_only: bool,
) -> Page:
    """A day's minutes so far; requested again if our clock turns out to be slow."""
    last = minute_days.last_minute(session, regular_only=regular_only)

    def ask(upto: datetime, latest: datetime) -> Page:
        common = {
            "FID_COND_MRKT_DIV_CODE": client.market,
            "FID_INPUT_ISCD": code,
            "FID_INPUT_HOUR_1": f"{upto:%H%M}00",
        }
        return client.ask(
            endpoint,
            common | parameters,
            lambda body: read_page(body, code, session.day, latest, A_PAGE[endpoint]),
            about=code,
        )

    def until() -> datetime:
        return min(client.clock.at_kis(now), last)

    asked = until()
    found = minute_days.gather(ask, session, asked)
    late = until() - asked >= MINUTE
    return minute_days.gather(ask, session, until()) if late else found


@contextmanager
def _errors_about(endpoint: Endpoint, code: str) -> Generator[None]:
    """Add the stock to errors that concern several answers together."""
    try:
        yield
    except UnexpectedAnswer as error:
        error.endpoint = error.endpoint or endpoint.name
        error.stock_code = error.stock_code or code
        raise


def read_page(body: Row, stock_code: str, trading_day: date, latest: datetime, most: int) -> Page:
    """One page of either chart: minutes of this day until `latest`, and maybe of other days.

    Later minutes are dropped: KIS invents minutes ahead of the clock.

    Raises:
        InvalidRequest: KIS knows no such code; it says so with no rows and a price of 0.
        UnexpectedAnswer: all minutes are later, or they are out of order, unreadable or too many.
    """
    about = output(body, "output1", dict)
    bars = [_bar(read(row, FIELDS)) for row in chart_rows(body, "output2", "stck_prpr")]
    if not bars and is_nothing(about, "stck_prpr"):
        raise InvalidRequest("KIS knows no stock of this code", stock_code=stock_code)
    if len(bars) > most:
        raise UnexpectedAnswer(f"the answer holds {len(bars)} minutes, more than a page's {most}")
    if any(newer["started_at"] <= older["started_at"] for newer, older in pairwise(bars)):
        raise UnexpectedAnswer("the minutes are not in order, newest first")
    of_day = [bar for bar in bars if bar["trading_day"] == trading_day]
    asked = [bar for bar in of_day if bar["started_at"] <= latest]
    if of_day and not asked:
        raise UnexpectedAnswer(
            f"the answer holds {of_day[-1]['started_at']:%H:%M}, expected until {latest:%H:%M}"
        )
    others = frozenset(bar["trading_day"] for bar in bars) - {trading_day}
    volume = read(about, (Field("volume", "acml_vol", amount, required=False),))["volume"]
    return Page(asked, others, volume)


def _bar(row: Bar) -> Bar:
    started_at = datetime.combine(row["trading_day"], row.pop("time"), calendar.SEOUL)
    if started_at.second:
        raise UnexpectedAnswer(f"{started_at:%H:%M:%S} is no minute")
    lowest = min(row[name] for name in ("open", "high", "low", "close"))
    if lowest < 1 or row["low"] > row["high"] or row["volume"] < 0:
        raise UnexpectedAnswer(f"the minute {started_at:%H:%M} has figures that cannot be")
    return row | {"started_at": started_at}

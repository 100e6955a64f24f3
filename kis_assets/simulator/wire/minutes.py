"""Current and past minutes in KIS's format. Newest first.

As at KIS, the two calls treat minutes without trades differently, and the call for past days
returns another day's rows for a wrong date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from fractions import Fraction

from kis_assets.exchange import calendar
from kis_assets.simulator.market.after_market import takes_part
from kis_assets.simulator.market.market import Minute, Stock
from kis_assets.simulator.wire.wire import Answer, Record, Request, parse_day, scaled, snapshot

TODAY_ROWS, PAST_ROWS = 30, 120
RETENTION = 246
"""Sessions for which past minutes are kept (measured, kis_measured)."""
_EARLIEST = date(2000, 1, 1)
_MINUTE = timedelta(minutes=1)
_AUCTION = timedelta(minutes=10)


def inquire_time_itemchartprice(request: Request) -> Answer:
    """Today's minutes: minutes without trades are flat bars, and future minutes are filled too."""
    stock = request.stock()
    quote = request.market.quote(stock.code, request.now) if stock else None
    upto = _time(request["FID_INPUT_HOUR_1"])
    if upto == time():
        # python-kis requests the newest bars this way, and works on the real server.
        upto = request.now.time() if request.now.date() == request.today else time.max
    rows: list[Record] = []
    if stock is not None and quote is not None and upto is not None:
        rows = _grid_rows(request, stock, quote.bar.day, upto, quote.bar.base)
        if request["FID_PW_DATA_INCU_YN"] == "Y" and len(rows) < TODAY_ROWS:
            before = calendar.previous_trading_day(quote.bar.day)
            rows += _grid_rows(request, stock, before, time.max, quote.bar.previous_close)
    return Answer({"output1": snapshot(quote, stock), "output2": rows[:TODAY_ROWS]})


def _grid_rows(request: Request, stock: Stock, day: date, upto: time, base: int) -> list[Record]:
    """One page of the newest rows of a day until a time, newest first."""
    session = calendar.session(day)
    if session is None or request.now < session.opens_at:
        return []
    factor = request.market.adjustment(stock.code, day, request.today)
    traded = {minute.started_at: minute for minute in request.market.minutes(stock.code, day)}
    price, value, volume = base, 0, 0
    found: list[tuple[Minute, int]] = []
    for label in _labels(session, stock):
        if label.time() > upto:
            break
        minute = traded.get(label)
        if minute is None:
            # Without trades in the current minute so far, KIS shows the volume of the minute
            # before.
            running = label <= request.now < label + _MINUTE
            flat = Minute(label, price, price, price, price, volume if running else 0, 0)
            found.append((flat, value))
            volume = 0
        else:
            value += minute.value_before + minute.trading_value
            price, volume = scaled(minute.close, factor), minute.volume
            found.append((_scaled_minute(minute, factor), value))
    return [_minute_row(*it) for it in reversed(found[-TODAY_ROWS:])]


def _labels(session: calendar.Session, stock: Stock) -> Iterator[datetime]:
    """The minutes of a day: of the closing auction only its trade, then the after-market."""
    spans = [(session.opens_at, session.closes_at - _AUCTION), (session.closes_at, None)]
    if session.after_market and takes_part(stock):
        spans.append(session.after_market)
    for start, end in spans:
        length = (end - start) // _MINUTE if end else 1
        yield from (start + timedelta(minutes=n) for n in range(length))


def inquire_time_dailychartprice(request: Request) -> Answer:
    """A past day's minutes with trades; for a date without a session, those of another day."""
    stock = request.stock()
    quote = request.market.quote(stock.code, request.now) if stock else None
    rows: list[Record] = []
    if stock is not None and quote is not None:
        day, kept = _session_day(request), _first_kept(request.now)
        upto = _time(request["FID_INPUT_HOUR_1"]) or time.max
        while len(rows) < PAST_ROWS and day >= kept:
            if stock.listed_on and day < stock.listed_on:
                break
            rows += _traded_rows(request, stock, day, upto, PAST_ROWS - len(rows))
            # The list continues with the session before.
            upto, day = time.max, calendar.previous_trading_day(day)
    return Answer({"output1": snapshot(quote, stock), "output2": rows})


def _session_day(request: Request) -> date:
    latest = calendar.latest_session(request.now).day
    day = parse_day(request["FID_INPUT_DATE_1"])
    if day is None or day > latest:
        return latest
    if day < _EARLIEST or calendar.is_trading_day(day):
        return day
    return calendar.previous_trading_day(day)


def _first_kept(now: datetime) -> date:
    latest = calendar.latest_session(now).day
    days = calendar.trading_days(latest - timedelta(days=RETENTION * 2), latest)
    return days[-RETENTION:][0]


def _traded_rows(request: Request, stock: Stock, day: date, upto: time, count: int) -> list[Record]:
    """The newest `count` rows of a day until a time, newest first."""
    factor = request.market.adjustment(stock.code, day, request.today)
    value = 0
    found: list[tuple[Minute, int]] = []
    for minute in request.market.minutes(stock.code, day):
        if minute.started_at.time() > upto:
            break
        value += minute.value_before + minute.trading_value
        found.append((minute, value))
    return [
        _minute_row(_scaled_minute(it, factor), so_far) for it, so_far in found[: -count - 1 : -1]
    ]


def _scaled_minute(minute: Minute, factor: Fraction) -> Minute:
    if factor == 1:
        return minute
    return replace(
        minute, open=scaled(minute.open, factor), high=scaled(minute.high, factor),
        low=scaled(minute.low, factor), close=scaled(minute.close, factor),
    )  # fmt: skip


def _minute_row(minute: Minute, value: int) -> Record:
    return {
        "stck_bsop_date": f"{minute.started_at:%Y%m%d}",
        "stck_cntg_hour": f"{minute.started_at:%H%M%S}",
        "stck_prpr": str(minute.close), "stck_oprc": str(minute.open),
        "stck_hgpr": str(minute.high), "stck_lwpr": str(minute.low),
        "cntg_vol": str(minute.volume), "acml_tr_pbmn": str(value),
    }  # fmt: skip


def _time(text: str) -> time | None:
    if len(text) != 6 or not text.isdigit():
        return None
    hour, minute, second = int(text[:2]), int(text[2:4]), int(text[4:])
    return time(hour, minute, second) if hour < 24 and minute < 60 and second < 60 else None

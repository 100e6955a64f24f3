"""The other real-time feeds in KIS's format: market state, programme trades, indices.

Their figures are those of the quotation services at the same moment.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta

from kis_assets.exchange import calendar
from kis_assets.simulator.market.indices import INDICES, IndexBar, indices_of
from kis_assets.simulator.market.investors import programme
from kis_assets.simulator.market.market import Market, Quote, Stock
from kis_assets.simulator.market.moments import CLOSING_PRICE_TRADES_AFTER
from kis_assets.simulator.wire.quotes import status_code
from kis_assets.simulator.wire.wire import flag, percent, rate

_KRX, _NXT = "1", "2"
_AUCTION, _BEFORE = timedelta(minutes=10), timedelta(minutes=30)


def state_rows(stock: Stock, then: datetime, now: datetime, *, of_nxt: bool) -> list[list[str]]:
    """The eleven fields of H0STMKO0, once for each phase that began between two moments.

    A halted stock states the halt in each record. The after-market has no records, since KIS's
    codes for it are unknown.
    """
    return [
        [
            stock.code, flag(stock.is_halted), "거래정지" if stock.is_halted else "(null)",
            phase, expected, "", "", status_code(stock), "N", "N", _NXT if of_nxt else _KRX,
        ]
        for begins, phase, expected in _phases(now.date())
        if then < begins <= now
    ]  # fmt: skip


def _phases(day: date) -> list[tuple[datetime, str, str]]:
    """Start of each phase, `MKOP_CLS_CODE`, `ANTC_MKOP_CLS_CODE`."""
    session = calendar.session(day)
    if session is None:
        return []
    opens_at, closes_at = session.opens_at, session.closes_at
    return [
        (opens_at - _BEFORE, "110", "311"),
        (opens_at, "112", "112"),
        (closes_at - _AUCTION, "121", "121"),
        (closes_at, "129", "129"),
        (closes_at + CLOSING_PRICE_TRADES_AFTER, "140", ""),
        (session.closing_price_until, "149", ""),
    ]


def program_fields(quote: Quote) -> list[str]:
    """The eleven fields of H0STPGM0: shares and KRW, the day's so far."""
    flow = programme(quote.code, quote.bar)
    waiting = flow.sold // 10, flow.bought // 10
    return [
        quote.code, f"{quote.at:%H%M%S}", str(flow.sold), str(flow.sold_value), str(flow.bought),
        str(flow.bought_value), str(flow.net), str(flow.net_value),
        *map(str, waiting), str(waiting[1] - waiting[0]),
    ]  # fmt: skip


def index_fields(market: Market, code: str, now: datetime, last: list[str] | None) -> list[str]:
    """The thirty fields of H0UPCNT0; `last` is the record before. Empty for an unknown index.

    Rising and falling issues are counted within the basket of the index.
    """
    indices, today = indices_of(market), now.date()
    bars = indices.bars(code, today - timedelta(days=20), today) if code in INDICES else []
    if len(bars) < 2 or bars[-1].day != today:
        return []
    before, bar = bars[-2:]
    volume, value = bar.volume // 1_000, bar.value // 1_000_000
    quotes = [market.quote(member, now) for member in indices.members(code)]
    signs = Counter(quote.bar.sign for quote in quotes if quote)
    return [
        code, f"{now:%H%M%S}", rate(bar.close), *_difference(bar.close, before)[::-1], str(volume),
        str(value), str(volume - int(last[5]) if last else 0),
        str(value - int(last[6]) if last else 0), percent(bar.close - before.close, before.close),
        *(rate(price) for price in bar[1:4]),
        *(word for price in bar[1:4] for word in _difference(bar.close, bar._replace(close=price))),
        *(percent(price - before.close, before.close) for price in bar[1:4]),
        *(str(signs[sign]) for sign in "12354"), "0", "0", "0.00",
    ]  # fmt: skip


def _difference(price: int, other: IndexBar) -> tuple[str, str]:
    """The difference of the index to another close, and its sign code."""
    change = price - other.close
    return rate(change), "2" if change > 0 else "5" if change < 0 else "3"

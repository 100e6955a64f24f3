"""Joins bars into longer ones on the fly: days into weeks and months, minutes into buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby, islice, pairwise
from typing import Any

from kis_assets.errors import InvalidRequest
from kis_assets.exchange.prices import tick_size
from kis_assets.sources.record_types import ChartData, PriceType

Bar = dict[str, Any]

BUCKETS = {PriceType.MINUTE_1: 1, PriceType.MINUTE_5: 5, PriceType.MINUTE_30: 30}
"""The length of bars of these periods, in minutes."""


def refuse_unless_bars(period: PriceType, count: int) -> None:
    """Refuse an invalid period or number of bars.

    Raises:
        InvalidRequest: the period or the count is invalid.
    """
    known: Any = period
    if not isinstance(known, PriceType):
        periods = ", ".join(map(str, PriceType))
        raise InvalidRequest(f"{known!r} is no period: use one of {periods}")
    if count < 1:
        raise InvalidRequest(f"count must be 1 or more, and is {count}")


def chart(stock_code: str, bars: Iterable[Bar], period: PriceType, count: int) -> list[ChartData]:
    """The newest `count` bars of a period, from days or minutes that come newest first.

    Takes no more of them than necessary.
    """
    made = (join(list(group)) for _, group in groupby(bars, _group_key(period)))
    return [
        ChartData(
            stock_code=stock_code,
            date=_date(bar, period),
            open_price=bar["open"],
            high_price=bar["high"],
            low_price=bar["low"],
            close_price=bar["close"],
            volume=bar["volume"],
            trading_value=bar["trading_value"],
            is_final=bar.get("is_final"),
        )
        for bar in islice(made, count)
    ]


def join(bars: list[Bar]) -> Bar:
    """Joins consecutive bars, newest first, into one with the date of the newest.

    Days without a trade, or with off-hours trades alone, have no prices but the close: they are
    left out unless all are such. Days before a split or the like are put on the share count after
    it.
    """
    bars = _rebased(bars)
    traded = [bar for bar in bars if bar["open"]] or bars
    return (
        bars[0]
        | {
            "open": traded[-1]["open"],
            "high": max(bar["high"] for bar in traded),
            "low": min(bar["low"] for bar in traded),
            "volume": sum(bar["volume"] for bar in bars),
            "trading_value": sum(bar["trading_value"] for bar in bars),
        }
        | ({"is_final": all(bar["is_final"] for bar in bars)} if "is_final" in bars[0] else {})
    )


def _rebased(bars: list[Bar]) -> list[Bar]:
    """The bars on the share count of the newest one.

    A base price that is another than the close before it tells of a split or the like; minutes have
    none. A close that is not final may be the after-market's, which is no base.
    """
    made, factor = bars[:1], 1.0
    for newer, older in pairwise(bars):
        base, close = newer.get("base_price"), older["close"]
        if base and close and older.get("is_final", True):
            is_other = abs(base - close) > tick_size(close, newer["trading_day"])
            factor *= base / close if is_other else 1.0
        prices = {name: round(older[name] * factor) for name in ("open", "high", "low", "close")}
        made.append(older | prices | {"volume": round(older["volume"] / factor)})
    return made


def bucket(started_at: datetime, period: PriceType) -> datetime:
    """The start of the bar of this period that holds a minute."""
    return started_at - timedelta(minutes=started_at.minute % BUCKETS[period])


def _group_key(period: PriceType) -> Callable[[Bar], object]:
    """The key that bars of the same longer bar share."""
    if period in BUCKETS:
        return lambda bar: (bar["session"], bucket(bar["started_at"], period))
    if period is PriceType.WEEKLY:
        return lambda bar: bar["trading_day"].isocalendar()[:2]
    if period is PriceType.MONTHLY:
        return lambda bar: (bar["trading_day"].year, bar["trading_day"].month)
    return lambda bar: bar["trading_day"]


def _date(bar: Bar, period: PriceType) -> str:
    if period in BUCKETS:
        return f"{bucket(bar['started_at'], period):%Y%m%d%H%M%S}"
    return f"{bar['trading_day']:%Y%m%d}"

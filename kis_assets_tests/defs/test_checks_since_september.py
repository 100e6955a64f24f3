"""Checks on days with an after-market: no false alarm, and nothing compared with itself.

A stock closes at 10,000. In the evening KIS shows the after-market's 10,300 as its close and high.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from kis_assets.defs.checks import completeness, cross_source, daily_candles
from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.lake.lake import Lake, Scope
from kis_assets.sources.tables import Fetched, TableSource
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, PRICE_SNAPSHOTS, Table
from kis_assets_tests.support.small_rows import candle, frame

DAY, BEFORE = date(2026, 10, 1), date(2026, 9, 30)
EVENING, MORNING = "2026-10-01 21:00", "2026-10-02 08:30"

Check = Callable[[Window, pl.LazyFrame], pl.LazyFrame]


def at(moment: str) -> datetime:
    return datetime.fromisoformat(f"{moment}:00+09:00")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "kis", source="kis")


@pytest.fixture
def beside(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "krx", source="krx")


class Second:
    """A second source that has one row, and counts who asks."""

    def __init__(self, close: int) -> None:
        self.asked = 0
        self._row = {"trading_day": DAY, "stock_code": "005930", "volume": 10, "change": 100}
        self._row |= {"open": 10_000, "high": max(close, 10_000), "low": 10_000, "close": close}

    def recent_candles(self, *_: Any) -> Fetched:
        self.asked += 1
        return Fetched(pl.DataFrame([self._row]))


def broken(
    check: Check,
    lake: Lake,
    table: Table,
    now: str,
    source: Second | None = None,
    beside: Lake | None = None,
) -> list[dict[str, Any]]:
    """The rows that fail a check about the day's partition."""
    first = DAY if table.partition == "day" else DAY.replace(day=1)
    given = cast("TableSource", source)
    span = Window(lake, table, first, DAY, at(now), lambda: given, beside)
    return check(span, span.rows()).collect().to_dicts()


def put_candle(lake: Lake, *, close: int, is_final: bool, **more: Any) -> None:
    high = max(close, 10_000)
    row = candle(DAY, 10_000, high, 10_000, close, base_price=9_900, change=close - 9_900)
    values = row | {"is_final": is_final} | more
    lake.replace(DAILY_CANDLES, Scope.month(DAY), frame(DAILY_CANDLES, values, source="kis"))


def put_quote(lake: Lake, moment: str, price: int) -> None:
    seen = at(moment).astimezone(UTC)
    row = dict.fromkeys(("open", "low"), 10_000) | {
        "trading_day": DAY,
        "captured_at": seen,
        "fetched_at": seen,
        "stock_code": "005930",
        "stock_name": "삼성전자",
        "price": price,
        "high": max(price, 10_000),
        "volume": 5,
        "trading_value": 50_000,
        "change": price - 9_900,
        "change_rate": 1.0,
    }
    lake.replace(
        PRICE_SNAPSHOTS, Scope.capture(DAY, seen), frame(PRICE_SNAPSHOTS, row, source="kis")
    )


# A capture and the candle


def test_the_official_prices_are_those_of_the_final_candle(lake: Lake) -> None:
    put_quote(lake, "2026-10-01 15:45", 10_000)
    put_quote(lake, "2026-10-01 20:40", 10_300)
    check = daily_candles.snapshot_after_close_equals_candle
    put_candle(lake, close=10_300, is_final=False)
    assert broken(check, lake, DAILY_CANDLES, EVENING) == []
    put_candle(lake, close=10_000, is_final=True)
    assert broken(check, lake, DAILY_CANDLES, MORNING) == []
    put_candle(lake, close=10_050, is_final=True)
    (wrong,) = broken(check, lake, DAILY_CANDLES, MORNING)
    assert (wrong["close"], wrong["price"]) == (10_050, 10_000)


def test_a_capture_of_the_evening_is_held_against_no_candle(lake: Lake) -> None:
    put_quote(lake, "2026-10-01 20:40", 10_300)
    put_candle(lake, close=10_000, is_final=True)
    check = daily_candles.snapshot_after_close_equals_candle
    assert broken(check, lake, DAILY_CANDLES, MORNING) == []


# KRX's figures


def put_krx(lake: Lake, close: int) -> None:
    row = candle(DAY, 10_000, 10_000, 10_000, close, change=close - 9_900)
    row |= {"stock_name": "삼성전자", "market": "KOSPI", "market_cap": 1, "listed_shares": 1}
    row |= {"change_rate": 1.0, "isin": "KR7005930003"}
    kept = {name: value for name, value in row.items() if name in KRX_DAILY.schema}
    lake.replace(KRX_DAILY, Scope.day(DAY), frame(KRX_DAILY, kept, source="krx"))


def test_krx_is_compared_with_final_candles_alone(lake: Lake, beside: Lake) -> None:
    put_krx(beside, 10_000)
    check = cross_source.candles_are_those_of_krx
    put_candle(lake, close=10_300, is_final=False)
    with pytest.raises(NotComparable, match="no final candle"):
        broken(check, beside, KRX_DAILY, MORNING, beside=lake)
    put_candle(lake, close=10_000, is_final=True)
    assert broken(check, beside, KRX_DAILY, MORNING, beside=lake) == []
    put_candle(lake, close=10_300, is_final=True)
    found = {it["field"] for it in broken(check, beside, KRX_DAILY, MORNING, beside=lake)}
    assert found == {"high", "close", "change"}


# KIS's short history


def test_no_evening_price_is_compared_with_the_same_evening_price(lake: Lake) -> None:
    put_candle(lake, close=10_300, is_final=False)
    source = Second(10_300)
    check = cross_source.a_hundred_stocks_agree_with_a_second_source
    with pytest.raises(NotComparable, match="no row of these days is final"):
        broken(check, lake, DAILY_CANDLES, EVENING, source)
    assert source.asked == 0


def test_a_final_candle_is_compared_on_the_morning(lake: Lake) -> None:
    put_candle(lake, close=10_000, is_final=True)
    check = cross_source.a_hundred_stocks_agree_with_a_second_source
    assert broken(check, lake, DAILY_CANDLES, "2026-10-02 16:00", Second(10_000)) == []
    put_candle(lake, close=10_050, is_final=True)
    found = broken(check, lake, DAILY_CANDLES, "2026-10-02 16:00", Second(10_000))
    assert {it["field"] for it in found} == {"high", "close", "change"}


def test_official_quotes_are_compared_until_the_after_market_opens(lake: Lake) -> None:
    put_quote(lake, "2026-10-01 15:45", 10_000)
    check = cross_source.a_hundred_stocks_agree_with_a_second_source
    assert broken(check, lake, PRICE_SNAPSHOTS, "2026-10-01 15:46", Second(10_000)) == []
    assert broken(check, lake, PRICE_SNAPSHOTS, "2026-10-01 15:46", Second(9_950))
    source = Second(10_300)
    with pytest.raises(NotComparable, match="until its after-market opens"):
        broken(check, lake, PRICE_SNAPSHOTS, "2026-10-01 16:10", source)
    assert source.asked == 0


# What changed since


def test_the_nights_correction_is_no_change_of_what_was_settled(lake: Lake) -> None:
    check = completeness.settled_days_are_unchanged
    put_candle(lake, close=10_300, is_final=False)
    put_candle(lake, close=10_000, is_final=True)
    assert broken(check, lake, DAILY_CANDLES, MORNING) == []
    put_candle(lake, close=10_050, is_final=True)
    assert {it["column"] for it in broken(check, lake, DAILY_CANDLES, MORNING)} >= {"close"}


# Base prices


@pytest.mark.parametrize(("is_final", "found"), [(False, 0), (True, 1)])
def test_a_base_is_held_against_the_final_close_of_the_month_before(
    lake: Lake, is_final: bool, found: int
) -> None:
    before = candle(BEFORE, 9_000, 9_000, 9_000, 9_000, is_final=is_final)
    lake.replace(DAILY_CANDLES, Scope.month(BEFORE), frame(DAILY_CANDLES, before, source="kis"))
    put_candle(lake, close=10_000, is_final=True)
    check = daily_candles.moved_bases_have_an_action
    assert len(broken(check, lake, DAILY_CANDLES, MORNING)) == found

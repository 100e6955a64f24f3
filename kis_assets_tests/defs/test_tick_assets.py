"""A recorded day becomes three tables with checks, and is available."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.checks import ticks
from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.defs.resources import open_lake
from kis_assets.exchange import calendar
from kis_assets.kis.stream_stocks import BookUpdate, Level, Trade
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import (
    DAILY_CANDLES,
    MINUTE_CANDLES,
    ORDER_BOOK_TICKS,
    STREAM_GAPS,
    TRADES,
    Table,
)
from kis_assets.ticks.recorder import Recorder
from kis_assets_tests.support.in_process import checks, failure, materialize, metadata, point_at
from kis_assets_tests.support.small_rows import candle, frame

DAY = date(2026, 3, 17)
SAMSUNG = "005930"
NAMES = ("stream_gaps", "trades", "order_book_ticks")


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"{DAY}T{clock}").replace(tzinfo=calendar.SEOUL)


def trade(clock: str, volume: int, quantity: int = 10) -> Trade:
    return Trade(
        stock_code=SAMSUNG, traded_at=at(clock), price=100, quantity=quantity, side="buy",
        change=0, change_rate=0.0, open=100, high=100, low=100, best_ask=101, best_bid=None,
        volume=volume, trading_value=volume * 100, is_halted=False, session=None,
        received_at=at(clock),
    )  # fmt: skip


def recorded(lake: Lake) -> None:
    """A day with three trades, a book and a gap of 70 shares."""
    made = Recorder(lake, DAY, lambda: at("08:50:00"))
    made.follow([SAMSUNG])
    made.take(trade("09:00:01", 10))
    made.take(
        BookUpdate(
            stock_code=SAMSUNG,
            booked_at=at("09:00:01"),
            asks=(Level(101, 5),),
            bids=(Level(99, 7),),
            total_ask_volume=5,
            total_bid_volume=7,
            expected_price=None,
            expected_volume=None,
            session=None,
            received_at=at("09:00:01"),
        )
    )
    made.take(trade("09:00:02", 20))
    made.broke([SAMSUNG], at("09:00:03"))
    made.opened([SAMSUNG], at("09:01:00"))
    made.take(trade("09:01:01", 100))
    made.close()


@pytest.fixture
def evening(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Lake:
    point_at(simulator, monkeypatch)
    return open_lake(Settings.load())


def test_a_recorded_day_is_stored_and_checked(evening: Lake) -> None:
    recorded(evening)
    counts = {}
    for name in NAMES:
        result = materialize(name, str(DAY))
        assert result.success
        counts[name] = metadata(result)["dagster/row_count"]
        failed = {check for check, passed in checks(result).items() if not passed}
        assert failed == ({"nothing_is_missing"} if name == "stream_gaps" else set())
    assert counts == {"trades": 3, "order_book_ticks": 1, "stream_gaps": 1}
    condition = evening.read(
        "SELECT table_name, condition FROM dataset_condition WHERE trading_day = DATE '2026-03-17' "
        "AND table_name IN ('trades', 'order_book_ticks', 'stream_gaps') ORDER BY ALL"
    )
    assert condition.rows() == [(name, "available") for name in sorted(NAMES)]


def test_a_day_that_was_not_recorded_fails_with_what_to_do(evening: Lake) -> None:
    sentence = failure(materialize("trades", str(DAY)))
    assert "nothing was recorded on 2026-03-17" in sentence
    assert "run: kis-assets stream --store" in sentence


def test_a_day_that_is_not_over_is_not_stored(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch, at("15:00:00"))
    recorded(open_lake(Settings.load()))
    assert "trading of 2026-03-17 is not over" in failure(materialize("trades", str(DAY)))


# Each check is shown a row that it must see.


def row(table: Table, **given: Any) -> pl.DataFrame:
    plain: dict[str, Any] = {"Int64": 100, "String": "x", "Float64": 1.0, "Boolean": False}
    values = {
        name: DAY if str(dtype) == "Date" else plain.get(str(dtype), at("09:00:30").astimezone(UTC))
        for name, dtype in table.schema.items()
    }
    made = values | {"stock_code": SAMSUNG, "source": "mock"} | given
    return pl.DataFrame([made], schema=table.schema)


def traded(sequence: int, volume: int, quantity: int = 10, clock: str = "09:00:01") -> pl.DataFrame:
    moment = at(clock).astimezone(UTC)
    return row(
        TRADES, sequence=sequence, volume=volume, quantity=quantity, traded_at=moment, side="buy"
    )


Rows = dict[Table, list[pl.DataFrame]]
RIGHT: Rows = {TRADES: [traded(1, 10), traded(2, 20)]}
ALIKE = frame(DAILY_CANDLES, candle(DAY, 1, 1, 1, 1, volume=20))
MINUTE = row(MINUTE_CANDLES, started_at=at("09:00:00").astimezone(UTC), session="regular",
             volume=20)  # fmt: skip
GAP = row(STREAM_GAPS, sequence=1, since=at("09:00:01").astimezone(UTC),
          until=at("09:00:20").astimezone(UTC), missing_volume=80)  # fmt: skip
BOOK = row(ORDER_BOOK_TICKS, sequence=1, booked_at=at("09:00:01").astimezone(UTC),
           bid_price_1=99, ask_price_1=100, expected_price=None)  # fmt: skip

CASES: list[tuple[Callable[..., Any], Table, Rows, int]] = [
    (ticks.running_volume_never_falls, TRADES, RIGHT, 0),
    (ticks.running_volume_never_falls, TRADES, {TRADES: [traded(1, 10), traded(2, 5)]}, 1),
    (ticks.records_are_of_their_day, TRADES, RIGHT, 0),
    (ticks.records_are_of_their_day, TRADES, {
        TRADES: [traded(1, 10).with_columns(pl.col("traded_at") - timedelta(days=1))]}, 1),
    (ticks.records_are_of_their_day, ORDER_BOOK_TICKS, {
        ORDER_BOOK_TICKS: [BOOK.with_columns(pl.col("booked_at") + timedelta(days=1))]}, 1),
    (ticks.records_are_in_order, TRADES, RIGHT, 0),
    (ticks.records_are_in_order, TRADES, {
        TRADES: [traded(1, 10, clock="09:00:05"), traded(2, 20)]}, 1),
    (ticks.trades_and_gaps_make_the_running_volume, TRADES, RIGHT, 0),
    (ticks.trades_and_gaps_make_the_running_volume, TRADES, {
        TRADES: [traded(1, 10), traded(2, 100)]}, 1),
    (ticks.trades_and_gaps_make_the_running_volume, TRADES, {
        TRADES: [traded(1, 10), traded(2, 100)], STREAM_GAPS: [GAP]}, 0),
    (ticks.trades_make_the_minutes, TRADES, RIGHT | {MINUTE_CANDLES: [MINUTE]}, 0),
    (ticks.trades_make_the_minutes, TRADES, {
        TRADES: [traded(1, 10)], MINUTE_CANDLES: [MINUTE]}, 1),
    (ticks.trades_make_the_minutes, TRADES, {
        TRADES: [traded(1, 10)], MINUTE_CANDLES: [MINUTE], STREAM_GAPS: [GAP]}, 0),
    (ticks.the_last_trade_has_the_volume_of_the_day, TRADES, RIGHT | {DAILY_CANDLES: [ALIKE]}, 0),
    (ticks.the_last_trade_has_the_volume_of_the_day, TRADES, {
        TRADES: [traded(1, 10)], DAILY_CANDLES: [ALIKE]}, 1),
    (ticks.bids_lie_below_asks, ORDER_BOOK_TICKS, {ORDER_BOOK_TICKS: [BOOK]}, 0),
    (ticks.bids_lie_below_asks, ORDER_BOOK_TICKS, {
        ORDER_BOOK_TICKS: [BOOK.with_columns(bid_price_1=pl.lit(100, pl.Int64))]}, 1),
    (ticks.nothing_is_missing, STREAM_GAPS, {STREAM_GAPS: [GAP]}, 1),
    (ticks.nothing_is_missing, STREAM_GAPS, {
        STREAM_GAPS: [GAP.with_columns(missing_volume=pl.lit(0, pl.Int64))]}, 0),
]  # fmt: skip


def window_of(lake: Lake, table: Table) -> Window:
    return Window(lake, table, DAY, DAY, at("21:00:00"), lambda: pytest.fail("it asks nobody"))


@pytest.mark.parametrize(("check", "table", "stored", "failing"), CASES)
def test_a_check_sees_what_it_is_for(
    tmp_path: Any, check: Callable[..., Any], table: Table, stored: Rows, failing: int
) -> None:
    lake = Lake(tmp_path / "mock", source="mock")
    for of, frames in stored.items():
        scope = Scope.month(DAY) if of.unit == "month" else Scope.day(DAY)
        lake.replace(of, scope, pl.concat(frames), publish=False)
    window = window_of(lake, table)
    assert check(window, window.rows()).collect().height == failing


@pytest.mark.parametrize(
    "check", [ticks.trades_make_the_minutes, ticks.the_last_trade_has_the_volume_of_the_day]
)
def test_without_candles_there_is_nothing_to_compare(
    tmp_path: Any, check: Callable[..., Any]
) -> None:
    lake = Lake(tmp_path / "mock", source="mock")
    lake.replace(TRADES, Scope.day(DAY), traded(1, 10), publish=False)
    window = window_of(lake, TRADES)
    with pytest.raises(NotComparable):
        check(window, window.rows()).collect()

"""What Prometheus is told of the lake: what is final, how late a capture is, the disk."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.lake import quality
from kis_assets.lake.lake import Lake, Scope
from kis_assets.monitoring.metrics import metrics_text
from kis_assets.settings import Settings
from kis_assets.tables import (
    CREDIT_BALANCES,
    DAILY_CANDLES,
    MARKET_DAYS,
    ORDER_BOOK_TICKS,
    PRICE_SNAPSHOTS,
    STREAM_GAPS,
    TRADES,
    Table,
)
from kis_assets.ticks.compaction import RECORDED
from kis_assets_tests.support.small_rows import candle, frame

FRIDAY, MONDAY, TUESDAY = date(2026, 9, 18), date(2026, 9, 21), date(2026, 9, 22)


def at(day: date, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}+09:00")


def told(settings: Settings, moment: datetime) -> dict[str, float]:
    text = metrics_text(settings.model_copy(update={"kis_replay_at": moment}))
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """A lake whose calendar is known, and nothing else."""
    made = Lake(settings.source_dir, source=settings.source_name)
    days = calendar.trading_days(date(2026, 8, 1), date(2026, 9, 30))
    sessions = [calendar.ordinary_session(day) for day in days]
    rows = [
        {
            **{"day": it.day, "is_open": True, "known_from": "computed"},
            **{"opens_at": it.opens_at, "closes_at": it.closes_at},
        }
        for it in sessions
    ]
    made.replace(MARKET_DAYS, Scope.year(2026), frame(MARKET_DAYS, *rows, source=made.source))
    return made


def store(lake: Lake, table: Table, *days: date) -> None:
    """Note that all stocks of these days are stored."""
    quality.record(lake, table, [quality.account(dict.fromkeys(days, 1), {}, {})])


def candles(lake: Lake, is_final: bool) -> None:
    rows = [candle(FRIDAY, 1, 1, 1, 1), candle(MONDAY, 1, 1, 1, 1, is_final=is_final)]
    scope = Scope.month(FRIDAY)
    lake.replace(DAILY_CANDLES, scope, frame(DAILY_CANDLES, *rows, source=lake.source))
    store(lake, DAILY_CANDLES, FRIDAY, MONDAY)


CANDLES = 'kis_table_final{table="daily_candles"}'


def test_a_table_is_final_when_the_newest_session_that_can_be_is(
    settings: Settings, lake: Lake
) -> None:
    candles(lake, is_final=False)
    # Until the night before Tuesday is over, Friday's candles are the newest that can be final.
    assert told(settings, at(TUESDAY, "05:00"))[CANDLES] == 1
    assert told(settings, at(TUESDAY, "09:00"))[CANDLES] == 0
    candles(lake, is_final=True)
    assert told(settings, at(TUESDAY, "09:00"))[CANDLES] == 1


def test_a_degraded_session_is_not_final_whatever_its_rows_say(
    settings: Settings, lake: Lake
) -> None:
    """Degraded goes before pending in `dataset_condition`, so it hides provisional rows."""
    candles(lake, is_final=False)
    failed = quality.account({FRIDAY: 1, MONDAY: 1}, {}, {"005930": UnexpectedAnswer("no bars")})
    quality.record(lake, DAILY_CANDLES, [failed])
    (condition,) = lake.read(
        "SELECT condition FROM dataset_condition WHERE table_name = 'daily_candles' "
        "AND trading_day = ?",
        [MONDAY],
    )["condition"]
    assert condition == "degraded"
    assert told(settings, at(TUESDAY, "09:00"))[CANDLES] == 0


def test_a_session_of_which_nothing_is_stored_is_not_final(settings: Settings, lake: Lake) -> None:
    store(lake, DAILY_CANDLES, FRIDAY)
    assert told(settings, at(TUESDAY, "09:00"))[CANDLES] == 0


def test_figures_published_three_sessions_later_are_not_waited_for(
    settings: Settings, lake: Lake
) -> None:
    days = calendar.trading_days(date(2026, 9, 10), date(2026, 9, 17))
    store(lake, CREDIT_BALANCES, *days)
    name = 'kis_table_final{table="credit_balances"}'
    assert told(settings, at(TUESDAY, "09:00"))[name] == 1
    assert told(settings, at(TUESDAY + timedelta(days=1), "09:00"))[name] == 0


def ticks(found: dict[str, float]) -> dict[str, float]:
    """What is told of tables of ticks."""
    names = {f'kis_table_final{{table="{it.name}"}}': it.name for it in RECORDED}
    return {names[name]: value for name, value in found.items() if name in names}


def test_a_perfect_recorded_day_is_final_and_books_that_were_not_recorded_are_left_out(
    settings: Settings, lake: Lake
) -> None:
    store(lake, TRADES, MONDAY)
    quality.record(lake, STREAM_GAPS, [quality.account({MONDAY: 0}, {}, {})])
    quality.record(lake, ORDER_BOOK_TICKS, [quality.account({MONDAY: 0}, {}, {})])
    assert ticks(told(settings, at(TUESDAY, "09:00"))) == {"trades": 1, "stream_gaps": 1}


def test_a_stream_that_was_switched_off_is_left_out(settings: Settings, lake: Lake) -> None:
    for table in RECORDED:
        store(lake, table, FRIDAY)
    assert set(ticks(told(settings, at(MONDAY, "09:00"))).values()) == {1}
    assert ticks(told(settings, at(TUESDAY, "09:00"))) == {}


def test_a_recorded_day_that_no_run_stored_is_not_final(settings: Settings, lake: Lake) -> None:
    store(lake, TRADES, FRIDAY)
    parts = lake.live_parts(TRADES, MONDAY)
    parts.begin()
    traded = {"trading_day": MONDAY, "stock_code": "005930", "sequence": 1, "price": 1}
    parts.add(1, 1, frame(TRADES, traded, source=lake.source))
    assert ticks(told(settings, at(TUESDAY, "09:00"))) == {"trades": 0}


def test_a_degraded_recorded_day_is_not_final(settings: Settings, lake: Lake) -> None:
    failed = quality.account({MONDAY: 1}, {}, {"005930": UnexpectedAnswer("no trades")})
    quality.record(lake, TRADES, [failed])
    assert ticks(told(settings, at(TUESDAY, "09:00"))) == {"trades": 0}


LATE = 'kis_capture_late_seconds{table="price_snapshots"}'


def test_a_capture_is_late_when_it_is_longer_ago_than_the_interval(
    settings: Settings, lake: Lake
) -> None:
    for day, clock in ((MONDAY, "15:00"), (TUESDAY, "10:00")):
        captured = at(day, clock)
        quote: dict[str, Any] = dict.fromkeys(("open", "high", "low", "price"), 10_000)
        quote |= dict.fromkeys(("volume", "trading_value", "change", "change_rate"), 1)
        quote |= {"trading_day": day, "captured_at": captured, "session": "regular"}
        quote |= {"stock_code": "005930", "stock_name": "삼성전자"}
        rows = frame(PRICE_SNAPSHOTS, quote, source=lake.source)
        lake.replace(PRICE_SNAPSHOTS, Scope.capture(day, captured), rows)
    assert told(settings, at(TUESDAY, "10:29"))[LATE] == 0
    assert told(settings, at(TUESDAY, "10:40"))[LATE] == 600
    # Nothing is due before the open and after the close.
    assert told(settings, at(TUESDAY, "08:30"))[LATE] == 0
    assert told(settings, at(TUESDAY, "16:30"))[LATE] == 0


def test_of_what_was_never_stored_nothing_is_said(settings: Settings, lake: Lake) -> None:
    assert not [it for it in told(settings, at(TUESDAY, "10:40")) if "table=" in it]


def test_a_new_lake_is_readable_from_its_first_row_on_before_any_session_can_be_final(
    settings: Settings, lake: Lake
) -> None:
    store(lake, DAILY_CANDLES, TUESDAY)
    found = told(settings, at(TUESDAY, "21:00"))
    assert CANDLES not in found
    assert found["kis_lake_readable"] == 1


def test_a_lake_that_is_not_there_is_not_readable(settings: Settings) -> None:
    """A folder that is not mounted looks like a lake of which nothing was ever stored."""
    assert told(settings, at(TUESDAY, "10:40"))["kis_lake_readable"] == 0


def test_a_lake_with_a_damaged_file_is_not_readable(settings: Settings, lake: Lake) -> None:
    candles(lake, is_final=True)
    assert told(settings, at(TUESDAY, "09:00"))["kis_lake_readable"] == 1
    for path in lake.folder.rglob("*.parquet"):
        path.write_bytes(b"no Parquet")
    assert told(settings, at(TUESDAY, "09:00"))["kis_lake_readable"] == 0


def test_the_disk_of_the_data_folder_is_told_even_before_it_is_made(
    settings: Settings, tmp_path: Path
) -> None:
    found = told(settings, at(TUESDAY, "09:00"))
    assert found["kis_disk_bytes"] == shutil.disk_usage(tmp_path).total
    assert 0 < found["kis_disk_free_bytes"] < found["kis_disk_bytes"]
    assert not settings.kis_data_dir.exists()

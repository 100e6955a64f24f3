"""Adjustment factors are data: they follow candles and actions, and adjusted prices are a join.

Which factor a base price and an action make is in `test_views.py`.
"""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import ADJUSTMENT_FACTORS, CORPORATE_ACTIONS, DAILY_CANDLES
from kis_assets_tests.support.small_rows import based, frame

FRIDAY, MONDAY, TUESDAY = date(2026, 3, 6), date(2026, 3, 9), date(2026, 3, 10)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "mock", source="mock")


def keep(lake: Lake, *rows: dict[str, Any], publish: bool = True) -> None:
    """Store a month's candles."""
    scope = Scope.month(rows[0]["trading_day"])
    lake.replace(DAILY_CANDLES, scope, frame(DAILY_CANDLES, *rows), publish=publish)


def announce(lake: Lake, day: date, kind: str, ratio: float | None) -> None:
    row = {"effective_on": day, "stock_code": "005930", "kind": kind, "origin": "rev-split"}
    more = {"sequence": 0, "effective_from": "listed_on", "ratio": ratio}
    lake.replace(CORPORATE_ACTIONS, Scope.month(day), frame(CORPORATE_ACTIONS, row | more))


def factors(lake: Lake) -> list[tuple[Any, ...]]:
    rows = lake.scan(ADJUSTMENT_FACTORS).select("effective_on", "factor", "reason", "evidence")
    return rows.collect().rows()


def closes(lake: Lake) -> list[float]:
    query = "SELECT close FROM daily_candles_adjusted ORDER BY trading_day"
    return [close for (close,) in lake.read(query).rows()]


def test_a_factor_says_why_it_is_and_from_what(lake: Lake) -> None:
    keep(lake, based(MONDAY, 50_000, 50_000), based(TUESDAY, 5_100, 5_000))
    assert factors(lake) == [(TUESDAY, 0.1, "unknown", "base_price")]
    announce(lake, TUESDAY, "split", 10.0)
    assert factors(lake) == [(TUESDAY, 0.1, "split", "ratio")]
    row = lake.scan(ADJUSTMENT_FACTORS).select("base_price", "previous_close").collect().row(0)
    assert row == (5_000, 50_000)


def test_factors_follow_candles_that_are_stored_anew(lake: Lake) -> None:
    keep(lake, based(MONDAY, 10_000, 10_000), based(TUESDAY, 9_500, 9_400))
    assert closes(lake) == [9_400.0, 9_500.0]
    keep(lake, based(MONDAY, 9_400, 10_000), based(TUESDAY, 9_500, 9_400))
    assert factors(lake) == []
    assert closes(lake) == [9_400.0, 9_500.0]


def test_the_first_day_of_a_year_is_held_against_the_last_one_of_the_year_before(
    lake: Lake,
) -> None:
    before, first = date(2025, 12, 30), date(2026, 1, 2)
    keep(lake, based(first, 5_100, 5_000))
    assert factors(lake) == []
    keep(lake, based(before, 10_000, 10_000))
    assert factors(lake) == [(first, 0.5, "unknown", "base_price")]
    assert closes(lake) == [5_000.0, 5_100.0]


def test_each_factor_counts_for_all_days_before_it(lake: Lake) -> None:
    keep(lake, based(FRIDAY, 100_000, 100_000), based(MONDAY, 50_000, 50_000),
         based(TUESDAY, 5_100, 5_000))  # fmt: skip
    found = lake.read(
        "SELECT close, volume, factor, step FROM daily_candles_adjusted ORDER BY trading_day"
    ).rows()
    assert [tuple(round(value, 9) for value in row) for row in found] == [
        (5_000, 200, 0.05, 1.0),
        (5_000, 100, 0.1, 0.5),
        (5_100, 10, 1.0, 0.1),
    ]


def test_nothing_is_made_again_while_candles_stay(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(lake, based(MONDAY, 50_000, 50_000))
    made: list[int] = []
    monkeypatch.setattr(lake, "factors", made.append)
    lake.publish()
    lake.read("SELECT 1")
    assert made == []


def test_rows_that_were_stored_without_being_published_are_adjusted_by_who_reads_next(
    lake: Lake,
) -> None:
    keep(lake, based(MONDAY, 10_000, 10_000), based(TUESDAY, 5_000, 5_000), publish=False)
    assert closes(lake) == [5_000.0, 5_000.0]


def test_a_lake_from_before_there_were_factors_gets_them(lake: Lake) -> None:
    keep(lake, based(MONDAY, 10_000, 10_000), based(TUESDAY, 5_000, 5_000))
    for folder in ("versions", "parquet"):
        shutil.rmtree(lake.folder / folder / "adjustment_factors")
    (lake.folder / ".locks" / "adjusted").unlink()
    assert closes(lake) == [5_000.0, 5_000.0]


def test_without_the_factors_of_a_year_nothing_is_called_adjusted(lake: Lake) -> None:
    keep(lake, based(MONDAY, 10_000, 10_000), based(TUESDAY, 5_000, 5_000))
    tables = [DAILY_CANDLES.name]
    with duckdb.connect() as connection:
        for view in lake.views(tables, None):
            connection.execute(view)
        assert len(connection.execute("FROM daily_candles").fetchall()) == 2
        with pytest.raises(duckdb.Error, match="no adjustment_factors of 2026 are stored"):
            connection.execute("FROM daily_candles_adjusted").fetchall()


def test_what_was_adjusted_at_an_earlier_instant_can_be_read(tmp_path: Path) -> None:
    clock = [datetime(2026, 3, 10, 12, tzinfo=UTC)]
    lake = Lake(tmp_path / "mock", source="mock", clock=lambda: clock[0])
    keep(lake, based(MONDAY, 50_000, 50_000), based(TUESDAY, 5_100, 5_000))
    then, clock[0] = clock[0], clock[0] + timedelta(hours=1)
    announce(lake, TUESDAY, "split", 9.9)
    tables = [table.name for table in (DAILY_CANDLES, CORPORATE_ACTIONS, ADJUSTMENT_FACTORS)]
    steps: list[float] = []
    for instant in (then, None):
        with duckdb.connect() as connection:
            for view in lake.views(tables, instant):
                connection.execute(view)
            row = connection.execute("SELECT min(step) FROM daily_candles_adjusted").fetchone()
            steps.append(round(row[0], 6) if row else 0.0)
    assert steps == [0.1, round(1 / 9.9, 6)]


def test_factors_are_known_as_early_as_their_candles(lake: Lake) -> None:
    keep(lake, based(MONDAY, 50_000, 50_000), based(TUESDAY, 5_100, 5_000))
    (candles,), (made,) = (
        lake.written_at(table, MONDAY) for table in (DAILY_CANDLES, ADJUSTMENT_FACTORS)
    )
    assert made == candles


def test_factors_that_the_year_before_changed_stay_as_long_as_any_version(tmp_path: Path) -> None:
    """What was current a minute ago was not replaced when its own year was stored."""
    clock = [datetime(2026, 1, 5, 12, tzinfo=UTC)]
    lake = Lake(tmp_path / "mock", source="mock", keep_days=30, clock=lambda: clock[0])
    before, first = date(2025, 12, 30), date(2026, 1, 2)
    keep(lake, based(before, 20_000, 20_000))
    keep(lake, based(first, 5_100, 5_000))
    clock[0] += timedelta(days=60)
    (current,) = lake.files(ADJUSTMENT_FACTORS, first=first, last=first)
    then, clock[0] = clock[0], clock[0] + timedelta(minutes=1)
    keep(lake, based(before, 10_000, 10_000))
    assert lake.files(ADJUSTMENT_FACTORS, first=first, last=first) != [current]
    lake.maintain()
    assert lake.files(ADJUSTMENT_FACTORS, as_of=then, first=first, last=first) == [current]
    assert current.exists()
    clock[0] += timedelta(days=31)
    lake.maintain()
    assert not current.exists()


def test_a_damaged_month_stops_no_other_year(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    keep(lake, based(date(2024, 3, 7), 10_000, 10_000), based(date(2024, 3, 8), 5_000, 5_000))
    (path,) = (lake.folder / "versions" / "daily_candles").rglob("*.parquet")
    path.write_bytes(b"")
    keep(lake, based(MONDAY, 10_000, 10_000), based(TUESDAY, 5_000, 5_000))
    assert "damaged" in caplog.text
    assert (TUESDAY, 0.5, "unknown", "base_price") in factors(lake)


def test_a_stock_that_was_away_for_more_than_a_year_begins_anew(lake: Lake) -> None:
    keep(lake, based(date(2024, 3, 7), 10_000, 10_000))
    others = [{"stock_code": "000660"}]
    for year in (2024, 2025, 2026):
        keep(lake, *(based(date(year, 6, 5), 700, 700) | other for other in others))
    keep(lake, based(MONDAY, 5_000, 5_000))
    assert factors(lake) == []

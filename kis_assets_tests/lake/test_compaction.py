"""Closed units in larger files: the same rows, whatever is rewritten, damaged or killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from kis_assets import Market
from kis_assets.lake import compaction
from kis_assets.lake.damaged_files import odd
from kis_assets.lake.lake import Lake, LakeError, Scope
from kis_assets.lake.versions import Versions
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, PRICE_SNAPSHOTS, Table
from kis_assets_tests.support.small_rows import based, frame

NOW = datetime(2026, 3, 20, tzinfo=UTC)
MONTHS = [date(2025, 2, 3), date(2025, 3, 3), date(2025, 4, 1), date(2026, 1, 5), date(2026, 2, 2)]
CODES = ["000660", "005930"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "mock", source="mock", clock=lambda: NOW)


def put(lake: Lake, day: date, close: int) -> None:
    rows = [based(day, close, close, stock_code=code) for code in CODES]
    lake.replace(DAILY_CANDLES, Scope.month(day), frame(DAILY_CANDLES, *rows))


@pytest.fixture
def filled(lake: Lake) -> Lake:
    for place, day in enumerate(MONTHS):
        put(lake, day, 100 + place)
    return lake


def price(at: datetime, day: date) -> pl.DataFrame:
    blank = {pl.Int64: 1, pl.Float64: 1.0, pl.String: "00", pl.Boolean: False, pl.Date: day}
    row = {name: blank.get(dtype.base_type()) for name, dtype in PRICE_SNAPSHOTS.schema.items()}
    told = {"captured_at": at, "trading_day": day, "stock_code": CODES[0], "price": day.day}
    return frame(PRICE_SNAPSHOTS, row | told | {"source": "mock", "fetched_at": NOW})


def larger(lake: Lake) -> list[str]:
    found = (lake.folder / "compacted").glob("*/*/*.parquet")
    return sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in found)


def read(lake: Lake) -> list[tuple[str, date, int]]:
    """What a program reads that opens `market.duckdb` by itself."""
    query = "SELECT stock_code, trading_day, close FROM daily_candles ORDER BY 1, 2"
    with duckdb.connect(lake.database, read_only=True) as connection:
        return connection.sql(query).fetchall()


def files_read(lake: Lake) -> set[str]:
    with duckdb.connect(lake.database, read_only=True) as connection:
        sql = connection.sql("SELECT sql FROM duckdb_views() WHERE view_name = 'daily_candles'")
        text = str(sql.fetchall()[0][0])
    return {word.partition("/")[0] for word in text.split("'") if word.endswith(".parquet")}


def expected(**closes: int) -> list[tuple[str, date, int]]:
    return [
        (code, day, closes.get(f"{day:_%Y_%m}", 100 + place))
        for code in CODES
        for place, day in enumerate(MONTHS)
    ]


def test_years_that_are_over_lie_in_one_file_and_the_year_that_is_not_in_months(
    filled: Lake,
) -> None:
    before = read(filled)
    assert before == expected()
    assert filled.maintain() == {"deleted_versions": 0, "larger_files": 1}
    assert larger(filled) == ["daily_candles/year=2025"]
    assert files_read(filled) == {"compacted", "versions"}
    assert read(filled) == before
    assert filled.maintain()["larger_files"] == 0


def test_the_file_has_the_columns_and_the_order_of_the_small_ones(filled: Lake) -> None:
    filled.maintain()
    [path] = (filled.folder / "compacted").glob("*/*/*.parquet")
    rows = pl.read_parquet(path, hive_partitioning=False)
    wanted = filled.scan(DAILY_CANDLES, last=date(2025, 12, 31)).collect()
    assert rows.equals(wanted.sort("stock_code", "trading_day"))
    assert rows.schema == DAILY_CANDLES.schema
    statistics = pq.ParquetFile(path).metadata.row_group(0).column(1).statistics
    assert statistics.has_min_max  # by which readers leave out what is of other stocks


def test_days_of_a_month_that_is_over_lie_in_one_file(lake: Lake) -> None:
    for day in (date(2026, 2, 26), date(2026, 2, 27), date(2026, 3, 2), date(2026, 3, 3)):
        at = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
        lake.replace(PRICE_SNAPSHOTS, Scope.day(day), price(at, day))
    year = frame(MARKET_DAYS, {"day": date(2025, 1, 2), "is_open": True, "known_from": "table"})
    lake.replace(MARKET_DAYS, Scope.year(2025), year)
    lake.maintain()
    assert larger(lake) == ["price_snapshots/month=2026-02"]
    query = "SELECT price FROM price_snapshots ORDER BY captured_at"
    assert lake.read(query)["price"].to_list() == [26, 27, 2, 3]


def test_a_month_that_is_written_again_counts_at_once(filled: Lake) -> None:
    filled.maintain()
    put(filled, MONTHS[1], 777)
    assert read(filled) == expected(_2025_03=777)
    assert files_read(filled) == {"versions"}
    assert filled.maintain()["larger_files"] == 1
    assert read(filled) == expected(_2025_03=777)
    assert files_read(filled) == {"compacted", "versions"}


def test_a_month_that_comes_later_counts_at_once(filled: Lake) -> None:
    filled.maintain()
    put(filled, date(2025, 7, 1), 5)
    assert ("005930", date(2025, 7, 1), 5) in read(filled)


def test_what_was_known_earlier_is_read_as_before(lake: Lake) -> None:
    at = [NOW]
    lake = Lake(lake.folder, source="mock", clock=lambda: at[0])
    for place, day in enumerate(MONTHS):
        put(lake, day, 100 + place)
    at[0] += timedelta(days=1)
    put(lake, MONTHS[0], 9)
    lake.maintain()
    with Market(lake.folder) as market:
        was = market.daily_candles("005930", as_of=NOW + timedelta(hours=1))["close"].to_list()
        now = market.daily_candles("005930")["close"].to_list()
    assert (was[0], now[0]) == (100, 9)
    assert was[1:] == now[1:]


def test_views_of_the_newest_rows_open_no_year_that_is_over(filled: Lake) -> None:
    filled.maintain()
    with duckdb.connect(filled.database, read_only=True) as connection:
        sql = "SELECT macro_definition FROM duckdb_functions() WHERE function_name = ?"
        [[text]] = connection.execute(sql, ["recent_daily_candles"]).fetchall()
    assert "compacted" not in text


@pytest.mark.parametrize("harm", ["cut", "deleted"])
def test_rows_are_read_elsewhere_when_a_larger_file_is_not_whole(filled: Lake, harm: str) -> None:
    filled.maintain()
    [path] = (filled.folder / "compacted").glob("*/*/*.parquet")
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
    with Market(filled.folder) as market:
        assert market.daily_candles("005930")["close"].to_list() == [100, 101, 102, 103, 104]
    told = odd(Versions(filled.folder, lambda: NOW))
    assert [str(path) in line and "a run creates it again" in line for line in told] == (
        [True] if harm == "cut" else []
    )
    assert filled.maintain()["larger_files"] == 1
    assert read(filled) == expected()


def test_a_damaged_month_is_told_and_stays_out_of_a_larger_file(filled: Lake) -> None:
    [path] = (filled.folder / "versions" / "daily_candles" / "month=2025-03").glob("*.parquet")
    path.write_bytes(b"PAR1 not a file")
    assert filled.maintain()["larger_files"] == 0
    filled.publish()
    with pytest.raises(LakeError, match="damaged"):
        filled.read("SELECT count(*) FROM daily_candles")


def test_a_month_that_is_damaged_inside_stops_its_own_year_alone(
    filled: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    put(filled, date(2024, 5, 2), 1)
    put(filled, date(2024, 6, 3), 1)
    [path] = (filled.folder / "versions" / "daily_candles" / "month=2024-06").glob("*.parquet")
    path.write_bytes(b"PAR1" + b"x" * 500 + b"PAR1")
    assert filled.maintain()["larger_files"] == 1
    assert f"{path} is damaged" in caplog.text
    assert larger(filled) == ["daily_candles/year=2025"]


def test_files_of_earlier_columns_wait_until_they_are_written_again(
    lake: Lake, older: Callable[[Table], Table]
) -> None:
    fewer = older(DAILY_CANDLES)
    for day in MONTHS[:2]:
        rows = frame(DAILY_CANDLES, based(day, 10, 10)).select(fewer.schema.names())
        lake.replace(fewer, Scope.month(day), rows)
    assert lake.maintain()["larger_files"] == 0


@pytest.fixture
def older() -> Callable[[Table], Table]:
    from dataclasses import replace

    return lambda table: replace(
        table, columns=tuple(it for it in table.columns if it.name != "is_final")
    )


def test_a_file_that_another_replaced_stays_for_a_day(filled: Lake) -> None:
    filled.maintain()
    [old] = (filled.folder / "compacted").glob("*/*/*.parquet")
    put(filled, MONTHS[1], 777)
    filled.maintain()
    assert old.exists()
    assert len(larger(filled)) == 2
    earlier = time.time() - compaction.READ_FOR - 1
    os.utime(old.parent, (earlier, earlier))
    filled.maintain()
    assert not old.exists()
    assert read(filled) == expected(_2025_03=777)


def test_what_is_killed_leaves_nothing_that_is_read_or_stays(filled: Lake) -> None:
    script = f"""
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from kis_assets.lake import compaction
from kis_assets.lake.lake import Lake
compaction.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
now = datetime(2026, 3, 20, tzinfo=UTC)
Lake(Path({str(filled.folder)!r}), source="mock", clock=lambda: now).maintain()
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert ended.returncode == -9, ended.stderr
    assert larger(filled) == []
    assert list((filled.folder / ".tmp").iterdir())
    assert read(filled) == expected()
    assert filled.maintain()["larger_files"] == 1
    assert list((filled.folder / ".tmp").iterdir()) == []


def test_old_versions_are_deleted(lake: Lake) -> None:
    at = [NOW]
    lake = Lake(lake.folder, source="mock", clock=lambda: at[0], keep_days=30)
    put(lake, MONTHS[0], 1)
    put(lake, MONTHS[0], 2)
    at[0] += timedelta(days=31)
    assert lake.maintain()["deleted_versions"] == 1


def test_a_damaged_larger_file_stops_no_writer(filled: Lake) -> None:
    filled.maintain()
    [path] = (filled.folder / "compacted").glob("*/*/*.parquet")
    path.write_bytes(b"PAR1" + b"x" * 500 + b"PAR1")
    put(filled, date(2026, 3, 2), 5)
    assert ("005930", date(2026, 3, 2), 5) in read(filled)
    assert filled.maintain()["larger_files"] == 1
    assert len(read(filled)) == 2 * (len(MONTHS) + 1)


def test_one_that_is_damaged_inside_stops_no_reader_of_market(filled: Lake) -> None:
    filled.maintain()
    [path] = (filled.folder / "compacted").glob("*/*/*.parquet")
    content = bytearray(path.read_bytes())
    content[4:400] = os.urandom(396)
    path.write_bytes(content)
    with Market(filled.folder) as market:
        assert market.daily_candles("005930")["close"].to_list() == [100, 101, 102, 103, 104]


def test_the_version_that_can_be_read_is_not_deleted(lake: Lake) -> None:
    at = [NOW]
    lake = Lake(lake.folder, source="mock", clock=lambda: at[0], keep_days=30)
    put(lake, MONTHS[0], 1)
    put(lake, MONTHS[0], 2)
    newest = max((lake.folder / "versions" / "daily_candles").glob("*/*.parquet"))
    newest.write_bytes(b"")  # the disk has failed
    at[0] += timedelta(days=31)
    assert lake.maintain()["deleted_versions"] == 0

"""The files of one moment: whatever engine reads them, and however often it opens them.

A pattern over `parquet/` cannot be that. An engine lists the names, opens each for what stands at
its end, and opens it again for the rows: a run may have replaced it in between.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset
import pytest
from typer.testing import CliRunner

from kis_assets import Market
from kis_assets.cli import app
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.reader import NotStored
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS
from kis_assets_tests.support.restless_writer import DAY, is_one_version, store, writing
from kis_assets_tests.support.small_rows import based, frame

FEBRUARY = date(2026, 2, 17)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two months of candles."""
    made = Lake(tmp_path / "data" / "mock", source="mock")
    row = based(FEBRUARY, 7, 7)
    made.replace(DAILY_CANDLES, Scope.month(FEBRUARY), frame(DAILY_CANDLES, row))
    store(made, 1)
    return made


@pytest.fixture
def market(lake: Lake) -> Market:
    return Market(lake.folder)


def closes(files: list[str]) -> list[int]:
    return pl.scan_parquet(files).filter(trading_day=DAY).collect()["close"].to_list()


def test_they_are_all_rows_of_now_and_stay_so_whatever_is_stored(
    lake: Lake, market: Market
) -> None:
    files = market.files("daily_candles")
    assert len(files) == 2
    store(lake, 2)
    assert set(closes(files)) == {1}
    assert set(closes(market.files("daily_candles"))) == {2}


def test_days_leave_out_files_without_any_of_them(market: Market) -> None:
    [file] = market.files("daily_candles", "2026-02", "2026-02")
    assert pl.read_parquet(file)["close"].to_list() == [7]
    assert market.files("daily_candles", "2026-02-20") == market.files("daily_candles")


def test_files_of_an_earlier_moment_are_those_of_all_tables_then(tmp_path: Path) -> None:
    at = datetime(2026, 3, 17, 12, tzinfo=UTC)
    lake = Lake(tmp_path / "mock", source="mock", clock=lambda: at)
    store(lake, 1)
    noon = at
    at += timedelta(hours=1)
    store(lake, 2)
    lake.publish()
    market = Market(lake.folder)
    assert set(closes(market.files("daily_candles", as_of=noon))) == {1}
    with pytest.raises(NotStored, match="no daily_candles at all are stored"):
        market.files("daily_candles", as_of=noon - timedelta(days=1))


def test_what_is_not_there_is_named(market: Market, tmp_path: Path) -> None:
    with pytest.raises(NotStored, match="no price_snapshots at all are stored"):
        market.files("price_snapshots")
    with pytest.raises(NotStored, match="daily_candles of 2025-01 to 2025-02"):
        market.files("daily_candles", "2025-01", "2025-02")
    with pytest.raises(ValueError, match="'candles' is not a table; there are market_days, "):
        market.files("candles")
    with pytest.raises(NotStored, match="nothing is stored in"):
        Market(tmp_path / "elsewhere").files("daily_candles")


def test_polars_can_plan_over_them_in_todays_columns(
    lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of an earlier version lacks a column; a plain pattern would fail."""
    found = market.scan("daily_candles")
    store(lake, 2)
    assert found.collect_schema() == DAILY_CANDLES.schema
    assert found.select(pl.col("close").unique().sort()).collect()["close"].to_list() == [1, 7]
    of_a_day = market.scan("daily_candles", DAY, DAY).select("trading_day").unique().collect()
    assert of_a_day["trading_day"].to_list() == [DAY]
    for path in (lake.folder / "versions" / "daily_candles" / "month=2026-02").iterdir():
        pl.read_parquet(path).drop("split_ratio").write_parquet(
            path.with_name(path.name.rpartition("-")[0] + "-000000.parquet")
        )
        path.unlink()
    rows = market.scan("daily_candles", "2026-02", "2026-02").collect()
    assert (rows["close"].to_list(), rows["split_ratio"].to_list()) == ([7], [None])


def test_the_command_names_them_line_by_line(
    lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(lake.folder.parent))
    told = CliRunner().invoke(app, ["files", "daily_candles"])
    assert told.stdout.splitlines() == market.files("daily_candles")
    told = CliRunner().invoke(app, ["files", "daily_candles", "--from", "2026-03"])
    assert told.stdout.splitlines() == market.files("daily_candles", "2026-03")
    told = CliRunner().invoke(app, ["files", PRICE_SNAPSHOTS.name])
    assert (told.exit_code, told.stdout) == (1, "")
    assert "no price_snapshots at all are stored" in told.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="cp of other systems makes no links")
def test_links_hold_a_folder_for_who_reads_no_list(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(shlex.split("cp -al data/mock/parquet now"), check=True)
    store(lake, 2)
    found = pl.scan_parquet("now/daily_candles/*.parquet").collect()
    assert set(found["close"]) == {1, 7}
    assert set(pl.read_parquet("data/mock/parquet/daily_candles/*.parquet")["close"]) == {2, 7}


# Beside a writer that never rests


def polars(files: list[str]) -> list[int]:
    return closes(files)


def duck(files: list[str]) -> list[int]:
    query = "SELECT close FROM read_parquet($files) WHERE trading_day = $day"
    found = duckdb.execute(query, {"files": files, "day": DAY}).fetchall()
    return [close for (close,) in found]


def arrow(files: list[str]) -> list[int]:
    of_day = pyarrow.dataset.field("trading_day") == DAY
    return pyarrow.dataset.dataset(files).to_table(filter=of_day)["close"].to_pylist()


def daft(files: list[str]) -> list[int]:
    daft = pytest.importorskip("daft")
    rows = daft.read_parquet(files).where(daft.col("trading_day") == DAY)
    return rows.select("close").to_pydict()["close"]


def spark(files: list[str]) -> list[int]:
    sql = pytest.importorskip("pyspark.sql")
    session: Any = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    rows = session.read.parquet(*files).where(f"trading_day = DATE '{DAY}'").select("close")
    return [row.close for row in rows.collect()]


def reads(lake: Lake, engine: Callable[[list[str]], list[int]], writes: int) -> int:
    """How often the engine read all rows of one version beside so many writes; or this fails."""
    versions = lake.folder / "versions" / "daily_candles" / f"month={DAY:%Y-%m}"
    count, end = 0, len(list(versions.iterdir())) + writes
    with Market(lake.folder) as market, writing(lake.folder) as writer:
        while count < 5 or len(list(versions.iterdir())) < end:
            assert writer.poll() is None, "the writer died"
            assert is_one_version(engine(market.files("daily_candles", DAY, DAY)))
            count += 1
    return count


@pytest.mark.slow
def test_a_reader_never_fails_beside_a_writer(lake: Lake) -> None:
    assert reads(lake, polars, 40) > 40


@pytest.mark.scale
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", [polars, duck, arrow, daft, spark])
def test_no_engine_ever_fails_beside_a_writer(
    lake: Lake, market: Market, engine: Callable[[list[str]], list[int]]
) -> None:
    engine(market.files("daily_candles"))  # until it has started
    count = reads(lake, engine, 100)
    print(f"{engine.__name__}: {count} reads beside 100 writes, none failed")  # noqa: T201

"""A data folder that was copied, moved or mounted elsewhere is read there, and gives its own rows.

What is asked of a folder is asked by processes of their own, in another working directory, that
fail at any attempt to write into the data folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from kis_assets import Market
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.reader import NotStored
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS
from kis_assets_tests.lake.test_lake import candles, prices

DAY, NEXT = date(2026, 3, 17), date(2026, 4, 1)
NOON = datetime(2026, 3, 17, 3, 0, tzinfo=UTC)
SAMSUNG = "005930"
VOLUMES = "SELECT volume FROM daily_candles ORDER BY trading_day"


@pytest.fixture
def original(tmp_path: Path) -> Lake:
    """Two months of one stock, and a price; the first month in two versions."""
    lake = Lake(tmp_path / "data" / "mock", source="mock")
    for volume in (1, 2):
        lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, volume)))
    lake.replace(DAILY_CANDLES, Scope.month(NEXT), candles((NEXT, SAMSUNG, 3)))
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, NOON), prices((NOON, SAMSUNG, 5)))
    return lake


def copied(lake: Lake, to: Path) -> Path:
    """A copy of the data folder; of the original nothing is left that could be read instead."""
    shutil.copytree(lake.folder, to)
    lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 70)))
    for path in lake.folder.glob("versions/**/*.parquet"):
        path.write_bytes(b"of the original")
    return to


def moved(lake: Lake, to: Path) -> Path:
    """The data folder itself, at another place."""
    to.parent.mkdir(parents=True, exist_ok=True)
    return lake.folder.rename(to)


def renamed(lake: Lake, to: Path) -> Path:
    """The data folder itself, under another name beside where it was."""
    return lake.folder.rename(lake.folder.with_name(to.name))


Going = Callable[[Lake, Path], Path]
PLACES = pytest.mark.parametrize("go", [copied, moved, renamed])

NO_WRITING = """
import errno, os, sys

FOLDER = sys.argv[1]

def refuse(event, given):
    writes = event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.utime", "os.truncate")
    writes |= event == "open" and bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if writes and any(str(path).startswith(FOLDER) for path in given[:2]):
        raise OSError(errno.EROFS, "Read-only file system", given[0])

sys.addaudithook(refuse)
"""


def ask(folder: Path, script: str, *more: str) -> str:
    """What a script prints, in another working directory, where the folder cannot be written."""
    before = seen(folder)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", NO_WRITING + script, str(folder), *more],
        cwd=elsewhere,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "KIS_DATA_DIR": str(folder.parent),
            "DATA_SOURCE_TYPE": "mock",
            "NO_COLOR": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert seen(folder) == before
    return done.stdout


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder there, with size and time of change."""
    stats = {str(path): path.stat() for path in sorted(folder.rglob("*"))}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


@PLACES
def test_plain_duckdb_needs_to_be_told_nothing(original: Lake, tmp_path: Path, go: Going) -> None:
    folder = go(original, tmp_path / "other" / "mounted")
    script = """
import duckdb
for path in (f"{FOLDER}/market.duckdb", os.path.relpath(f"{FOLDER}/market.duckdb")):
    with duckdb.connect(path, read_only=True) as connection:
        print(connection.sql("SELECT volume FROM daily_candles ORDER BY trading_day").fetchall())
        print(connection.sql("SELECT price FROM latest_prices").fetchall())
"""
    assert ask(folder, script).splitlines() == ["[(2,), (3,)]", "[(5,)]"] * 2


@PLACES
@pytest.mark.slow
def test_market_and_lake_read_it(original: Lake, tmp_path: Path, go: Going) -> None:
    known = datetime.now(UTC)
    folder = go(original, tmp_path / "other" / "mounted")
    script = """
from datetime import datetime
from pathlib import Path
from kis_assets import Market
from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES

ask = "SELECT volume FROM daily_candles ORDER BY trading_day"
market, lake = Market(FOLDER), Lake(Path(FOLDER), source="mock")
then = datetime.fromisoformat(sys.argv[2])
for frame in (
    market.sql(ask),
    market.daily_candles("005930"),
    market.sql(ask, as_of=then),
    lake.read(ask),
    lake.scan(DAILY_CANDLES).sort("trading_day").collect(),
):
    print(frame["volume"].to_list())
"""
    assert ask(folder, script, known.isoformat()).splitlines() == ["[2, 3]"] * 5


def test_each_command_that_reads_does(small_lake: Path, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(small_lake, tmp_path / "data" / "mock"), source="mock")
    lake.publish()
    folder = moved(lake, tmp_path / "other" / "mock")
    script = """
from kis_assets.cli import app
for line in sys.argv[2:]:
    app(line.split(" ", 2), standalone_mode=False)
"""
    said = ask(
        folder,
        script,
        "sql --json SELECT count(DISTINCT stock_code) AS stocks FROM minute_candles",
        "condition --csv daily_candles",
        "candles --stored 005930",
    )
    assert '"stocks": 5' in said
    assert "daily_candles,2026-02-10,degraded" in said
    assert "2026-03-17" in said


@PLACES
def test_its_parquet_files_are_the_current_rows(original: Lake, tmp_path: Path, go: Going) -> None:
    folder = go(original, tmp_path / "other" / "mounted")
    found = pl.read_parquet(folder / "parquet" / "daily_candles" / "*.parquet")
    assert sorted(found["volume"]) == [2, 3]


def test_rows_written_in_a_copy_are_its_own(original: Lake, tmp_path: Path) -> None:
    copy = Lake(copied(original, tmp_path / "copy"), source="mock")
    copy.replace(DAILY_CANDLES, Scope.month(NEXT), candles((NEXT, SAMSUNG, 4)))
    assert copy.read(VOLUMES)["volume"].to_list() == [2, 4]
    assert volumes(copy.folder / "market.duckdb") == [2, 4]


def test_whoever_holds_it_open_keeps_the_rows_of_then(original: Lake, tmp_path: Path) -> None:
    lake = Lake(moved(original, tmp_path / "moved"), source="mock")
    with duckdb.connect(lake.database, read_only=True) as held:
        lake.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 9)))
        assert held.sql(VOLUMES).fetchall() == [(2,), (3,)]
    assert volumes(lake.database) == [9, 3]


# --- attached to another database -----------------------------------------------------------------


def test_attached_it_is_read_where_it_was_written(original: Lake) -> None:
    assert attached(original.folder) == [2, 3]


def test_attached_elsewhere_it_takes_the_folder_from_a_variable(
    original: Lake, tmp_path: Path
) -> None:
    folder = moved(original, tmp_path / "moved")
    with pytest.raises(duckdb.Error, match="No files found"):
        attached(folder)
    assert attached(folder, f"SET VARIABLE kis_assets_folder = '{folder}'") == [2, 3]


def test_where_temporary_files_go_elsewhere_it_is_the_same(original: Lake, tmp_path: Path) -> None:
    folder = moved(original, tmp_path / "moved")
    with duckdb.connect(folder / "market.duckdb", read_only=True) as connection:
        connection.execute(f"SET temp_directory = '{tmp_path / 'temporary'}'")
        connection.execute(f"SET VARIABLE kis_assets_folder = '{folder}'")
        assert connection.sql(VOLUMES).fetchall() == [(2,), (3,)]


@pytest.mark.parametrize("is_moved", [False, True])
def test_two_sources_in_one_session_each_read_their_own(
    original: Lake, tmp_path: Path, is_moved: bool
) -> None:
    data = original.folder.parent
    for name, volume in (("kis", 10), ("kis-nxt", 20)):
        other = Lake(data / name, source="mock")
        other.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, volume)))
    if is_moved:
        data = data.rename(tmp_path / "moved")
    for name, expected in (("mock", [2, 3]), ("kis", [10]), ("kis-nxt", [20])):
        for opened in ("mock", "kis", "kis-nxt"):
            with duckdb.connect(data / opened / "market.duckdb", read_only=True) as connection:
                connection.execute(
                    f"ATTACH '{data / name / 'market.duckdb'}' AS beside (READ_ONLY)"
                )
                rows = connection.sql(VOLUMES.replace("FROM ", "FROM beside.")).fetchall()
                assert [volume for (volume,) in rows] == expected


# --- what does not fit together -------------------------------------------------------------------


def test_a_copy_whose_catalog_is_newer_than_its_files_shows_its_files(
    original: Lake, tmp_path: Path
) -> None:
    """As a copy may be that was made while a run wrote."""
    folder = tmp_path / "copy"
    shutil.copytree(original.folder, folder)
    original.replace(DAILY_CANDLES, Scope.month(DAY), candles((DAY, SAMSUNG, 70)))
    shutil.copyfile(original.database, folder / "market.duckdb")
    assert Market(folder).sql(VOLUMES)["volume"].to_list() == [2, 3]
    assert Market(folder).rows("SELECT price FROM latest_prices")[1] == [(5,)]


def test_a_copy_without_the_rows_is_told(original: Lake, tmp_path: Path) -> None:
    folder = moved(original, tmp_path / "moved")
    shutil.rmtree(folder / "versions")
    with pytest.raises(NotStored, match=r"moved has no folder versions.*copy all of it"):
        Market(folder).sql(VOLUMES)


def test_a_query_of_a_file_that_is_not_there_says_so(original: Lake) -> None:
    with pytest.raises(duckdb.IOException, match=r"No files found .*nowhere\.parquet"):
        Market(original.folder).sql("SELECT * FROM 'nowhere.parquet'")


def attached(folder: Path, before: str = "") -> list[int]:
    """The volumes, asked of a session that has opened another database."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{folder / 'market.duckdb'}' AS theirs (READ_ONLY); {before}")
        rows = connection.sql(VOLUMES.replace("FROM ", "FROM theirs.")).fetchall()
        return [volume for (volume,) in rows]


def volumes(database: Path) -> list[int]:
    with duckdb.connect(database, read_only=True) as connection:
        return [volume for (volume,) in connection.sql(VOLUMES).fetchall()]

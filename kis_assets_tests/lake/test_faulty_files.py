"""A planted or broken file: it is named, with what to do, and stops nothing else."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from kis_assets.cli.common import quieten
from kis_assets.cli.doctor import _rows
from kis_assets.defs.orphans import _is_held
from kis_assets.errors import ServiceUnavailable
from kis_assets.lake.damaged_files import odd
from kis_assets.lake.lake import Lake, LakeError, Scope
from kis_assets.lake.reader import NotStoredWarning
from kis_assets.lake.versions import Versions
from kis_assets.market import Market
from kis_assets.security.ownership import Unfit, put
from kis_assets.settings import Settings
from kis_assets.state.cache import SqliteStore
from kis_assets.state.sqlite import SharedState
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES, TABLES
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.support.small_rows import based, frame

GARBAGE = b"garbage" * 100
MARCH, APRIL = date(2026, 3, 2), date(2026, 4, 1)


def write(lake: Lake, day: date, close: int) -> None:
    rows = frame(DAILY_CANDLES, based(day, close, 9, is_final=True))
    lake.replace(DAILY_CANDLES, Scope.month(day), rows)


def closes(lake: Lake) -> list[int]:
    """What an analyst reads."""
    with Market(lake.folder) as market:
        found = market.sql("SELECT close FROM daily_candles ORDER BY trading_day")
    return found["close"].to_list()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Lake(tmp_path_factory.mktemp("written") / "mock", source="mock")
    write(made, MARCH, 10)
    write(made, APRIL, 20)
    return made.folder


@pytest.fixture
def lake(written: Path, tmp_path: Path) -> Lake:
    """Two months of candles: a close of 10 in March and of 20 in April; each test has its own."""
    made = Lake(shutil.copytree(written, tmp_path / "mock"), source="mock")
    made.publish()
    return made


def version(lake: Lake) -> Path:
    """The newest file of March."""
    return max((lake.folder / "versions" / "daily_candles" / "month=2026-03").iterdir())


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "kept").touch()


def link(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.parents[1] / "theirs")


def garbage(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(GARBAGE)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


# market.duckdb


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (folder, "is a folder, no file: move it away"),
        (link, "is a link to nothing: delete it"),
        (garbage, "is damaged or no database of DuckDB: delete it"),
        (cut_off, "is damaged or no database of DuckDB: delete it"),
    ],
)
def test_a_catalog_that_is_none_is_named_and_the_rows_are_read_and_written(
    lake: Lake, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(lake.database)
    with pytest.warns(NotStoredWarning, match=f"market.duckdb {says}"):
        assert closes(lake) == [10, 20]
    write(lake, MARCH, 11)
    assert closes(lake) == [11, 20]  # without a warning, which would be an error here
    assert not (lake.folder.parent / "theirs").exists()


def test_a_catalog_is_made_anew_though_no_row_changed(lake: Lake) -> None:
    garbage(lake.database)
    write(lake, MARCH, 10)
    assert closes(lake) == [10, 20]


def test_a_folder_in_the_way_is_moved_and_keeps_what_is_in_it(
    lake: Lake, caplog: pytest.LogCaptureFixture, narrow_terminal: None
) -> None:
    quieten()
    stable = lake.folder / "parquet" / "daily_candles" / "month=2026-03.parquet"
    for path in (lake.database, lake.folder / ".locks" / "market.duckdb", stable):
        folder(path)
    write(lake, MARCH, 11)
    assert closes(lake) == [11, 20]
    assert stable.is_file()
    assert len(list(lake.folder.glob("*.moved/kept"))) == 1
    assert "market.duckdb was a folder, no file: it is moved to market.duckdb." in caplog.text


@pytest.mark.parametrize("name", ["market.duckdb", "published", "published.new"])
def test_no_link_is_followed_where_a_catalog_is_written(lake: Lake, name: str) -> None:
    """Another user foresaw the name: DuckDB wrote into what it pointed to."""
    theirs = lake.folder.parent / "theirs"
    shutil.copy(lake.database, theirs)
    before = theirs.read_bytes()
    path = lake.folder / ".locks" / name
    path.unlink(missing_ok=True)
    path.symlink_to(theirs)
    write(lake, MARCH, 11)
    assert theirs.read_bytes() == before
    assert closes(lake) == [11, 20]


def test_a_link_in_the_place_of_a_lock_is_named_and_not_followed(lake: Lake) -> None:
    theirs = lake.folder.parent / "theirs"
    theirs.write_text("precious")
    lock = lake.folder / ".locks" / "daily_candles.lock"
    lock.unlink(missing_ok=True)
    lock.symlink_to(theirs)
    with pytest.raises(LakeError, match=r"daily_candles\.lock is a link, no file: move it away"):
        write(lake, MARCH, 11)
    assert theirs.read_text() == "precious"
    assert closes(lake) == [10, 20]


# Rows


def test_a_damaged_file_of_rows_is_named_and_stops_its_month_alone(lake: Lake) -> None:
    garbage(spoilt := version(lake))
    write(lake, APRIL, 21)
    for ask in (
        lambda: write(lake, MARCH, 11),
        lambda: lake.scan(DAILY_CANDLES, last=MARCH),
        lambda: lake.read("SELECT * FROM daily_candles"),
        lambda: closes(lake),
    ):
        with pytest.raises((LakeError, Unfit), match="damaged or holds no rows: move it") as told:
            ask()
        assert str(spoilt) in str(told.value)
        assert "disk" not in str(told.value)
    assert lake.scan(DAILY_CANDLES, first=APRIL).collect()["close"].to_list() == [21]
    spoilt.unlink()
    assert closes(lake) == [21]
    write(lake, MARCH, 12)
    assert closes(lake) == [12, 21]


def test_a_planted_version_of_other_columns_does_not_keep_others_from_being_published(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    """The views of older columns look into their file when they are made."""
    planted = version(lake).with_name("29990101T000000.000000Z-aaaaaaaa-bbbbbb.parquet")
    planted.write_bytes(GARBAGE)
    actions = CORPORATE_ACTIONS.empty()
    lake.replace(CORPORATE_ACTIONS, Scope(MARCH, MARCH), actions)
    lake.publish()
    assert lake.read("SELECT count(*) FROM corporate_actions").item() == 0
    assert f"{planted} is damaged" in caplog.text
    with pytest.raises(Unfit, match=str(planted)):
        closes(lake)


@pytest.mark.parametrize(
    "planted",
    [
        "versions/daily_candles/month=2026-03/zzz.parquet",
        "versions/daily_candles/month=2026-03/29990101T000000.000000Z-aaaaaaaa-bbbbbb.parquet/x",
        "versions/daily_candles/month=zzz",
        "versions/order_books",
        "versions/zzz",
        "parquet/daily_candles/planted.parquet",
        ".locks/market.duckdb",
        ".locks/published",
    ],
)
def test_what_is_none_of_our_files_is_not_read(lake: Lake, planted: str) -> None:
    (lake.folder / planted).parent.mkdir(parents=True, exist_ok=True)
    (lake.folder / planted).write_bytes(GARBAGE)
    write(lake, MARCH, 11)
    lake.publish()
    assert closes(lake) == [11, 20]
    assert lake.scan(DAILY_CANDLES).collect()["close"].to_list() == [11, 20]


def test_a_note_of_what_was_pruned_that_is_none_is_named(lake: Lake) -> None:
    note = lake.folder / "versions" / "daily_candles" / "pruned_until"
    note.write_bytes(b"\xff")
    with pytest.raises(LakeError, match="pruned_until is no note of this program: move it away"):
        lake.scan(DAILY_CANDLES, as_of=lake.now())
    assert closes(lake) == [10, 20]


def test_the_doctor_names_every_file_that_should_not_be_there(
    lake: Lake, settings: Settings
) -> None:
    there = settings.model_copy(
        update={"data_source_type": "mock", "kis_data_dir": lake.folder.parent}
    )
    assert _rows(there).state == "ok"
    planted = lake.folder / "parquet" / "daily_candles" / "planted.parquet"
    planted.write_bytes(GARBAGE)
    garbage(version(lake))
    found = _rows(there)
    assert found.state == "fail"
    assert f"{planted} was not put there by this program: move it away" in found.seen
    assert f"{version(lake)} is damaged" in found.seen


def test_nothing_is_odd_in_a_lake_of_every_table(small_lake: Path) -> None:
    versions = Versions(small_lake, lambda: None)  # type: ignore[arg-type,return-value]
    assert len(set(versions.tables()) & TABLES.keys()) > 3
    assert odd(versions) == []


@pytest.mark.usefixtures("narrow_terminal")
@pytest.mark.parametrize("spoil", [folder, garbage])
def test_the_commands_that_read_say_which_file_is_wrong_and_answer(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]
) -> None:
    copy = shutil.copytree(stored, tmp_path / "copied" / "mock")
    monkeypatch.setenv("KIS_DATA_DIR", str(copy.parent))
    right = Said("sql", "SELECT count(*) FROM daily_candles", "--json").json
    spoil(copy / "market.duckdb")
    for words in (("sql", "SELECT count(*) FROM daily_candles", "--json"), ("condition",)):
        said = Said(*words)
        assert said.status == 0
        assert f"note: {copy / 'market.duckdb'} is " in said.err
    assert Said("sql", "SELECT count(*) FROM daily_candles", "--json").json == right
    assert Said("status").status == 0


# What processes share


@pytest.mark.parametrize("name", ["shared.sqlite", "cache.sqlite"])
def test_garbage_in_the_place_of_shared_values_costs_their_memory_alone(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(GARBAGE)
    state, store = SharedState(tmp_path), SqliteStore(tmp_path / "cache.sqlite")
    assert state.update("key", lambda old, _: (b"new", old), time.time) is None
    store.set({"key": b"new"}, 60)
    assert store.get("key") == b"new"
    state.close()
    store.close()
    assert sqlite3.connect(tmp_path / name).execute("PRAGMA quick_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("shared.sqlite", link, "shared.sqlite is a link, no file: move it away"),
        ("shared.sqlite-wal", link, "shared.sqlite-wal is a link, no file: move it away"),
        ("shared.sqlite", folder, "shared.sqlite is a folder, no file: move it away"),
        ("", lambda path: path.write_text("x"), "state is a file, no folder: move it away"),
    ],
)
def test_what_stands_in_the_place_of_shared_values_is_named(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], says: str
) -> None:
    state = tmp_path / "state"
    if name:
        state.mkdir()
    spoil(state / name if name else state)
    with pytest.raises(ServiceUnavailable, match=says):
        SharedState(state).update("key", lambda old, _: (b"new", old), time.time)
    assert not (tmp_path / "theirs").exists()


# Small files


def test_a_file_is_there_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "note", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path / "note", b"new")
    assert [(it.name, it.read_bytes()) for it in tmp_path.iterdir()] == [("note", b"old")]


def test_a_lock_that_nobody_can_judge_counts_as_held(tmp_path: Path) -> None:
    (tmp_path / "a.lock").symlink_to(tmp_path / "theirs")
    assert _is_held(tmp_path / "a.lock")
    FileLock(tmp_path / "b.lock").acquire(timeout=0).lock.release()
    assert not _is_held(tmp_path / "b.lock")

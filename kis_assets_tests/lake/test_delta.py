"""Delta tables of the lake: the same rows, one partition a unit, replaced and never doubled."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.defs.assets.market_days import market_days
from kis_assets.defs.resources import KISResource, LakeResource
from kis_assets.lake.delta import Published
from kis_assets.lake.delta_table import PublishError, transactions
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.lakehouse import bring_over
from kis_assets.settings import Settings, SettingsError
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, PRICE_SNAPSHOTS, Table

pytest.importorskip("deltalake", reason="needs the extra of that name: pip install deltalake")
from deltalake import DeltaTable, write_deltalake

DAY, NEXT = date(2026, 3, 17), date(2026, 3, 18)
NOON = datetime(2026, 3, 17, 3, 0, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data" / "mock", source="mock")


def rows(table: Table, day: date, codes: list[str], price: int = 100) -> pl.DataFrame:
    """A plausible row a stock, on that day."""
    moment = NOON.replace(day=day.day, month=day.month)
    plain = {"Int64": price, "String": "00", "Float64": 0.5, "Boolean": True, "Date": day}
    return pl.DataFrame(
        [
            {column.name: plain.get(str(column.dtype), moment) for column in table.columns}
            | {"source": "mock", "stock_code": code}
            for code in codes
        ],
        schema=table.schema,
    )


def publish(lake: Lake, table: Table, unit: str, url: str) -> bool:
    return Published(lake, table, url).bring(unit)


def read(folder: Path, table: Table) -> pl.DataFrame:
    return pl.read_delta(str(folder / "mock" / table.name))


@pytest.mark.parametrize(
    ("table", "scope_of", "unit_name"),
    [(DAILY_CANDLES, Scope.month, "2026-03"), (PRICE_SNAPSHOTS, Scope.day, "2026-03-17")],
    ids=["a month", "a day"],
)
def test_a_unit_has_the_lakes_rows_and_a_rerun_takes_their_place(
    lake: Lake, tmp_path: Path, table: Table, scope_of: type[Scope], unit_name: str
) -> None:
    folder = tmp_path / "published"
    april = date(2026, 4, 1)
    units = [
        lake.replace(table, scope_of(day), rows(table, day, ["005930", "000660"])).unit
        for day in (DAY, april)
    ]
    for unit in [*units, units[0]]:
        publish(lake, table, unit, str(folder))
    found = read(folder, table)
    assert set(found["unit"]) >= {unit_name}
    key = [*table.key]
    assert_frame_equal(
        found.drop("unit").sort(key), lake.scan(table).collect().sort(key), check_row_order=True
    )
    lake.replace(table, scope_of(DAY), rows(table, DAY, ["005930"], price=200))
    publish(lake, table, units[0], str(folder))
    found = read(folder, table)
    assert found.filter(unit=unit_name)["stock_code"].to_list() == ["005930"]
    assert found.filter(pl.col("unit") != unit_name).height == 2
    assert_frame_equal(found.drop("unit").sort(key), lake.scan(table).collect().sort(key))


def test_a_unit_that_was_emptied_is_emptied_there(lake: Lake, tmp_path: Path) -> None:
    scope, table = Scope.month(DAY), DAILY_CANDLES
    unit = lake.replace(table, scope, rows(table, DAY, ["005930"])).unit
    publish(lake, table, unit, f"file://{tmp_path}/there")
    assert read(tmp_path / "there", table).height == 1
    lake.replace(table, scope, table.empty())
    publish(lake, table, unit, f"file://{tmp_path}/there")
    assert read(tmp_path / "there", table).height == 0


def test_a_storage_that_fails_is_named_without_what_signs_an_address(
    lake: Lake, tmp_path: Path
) -> None:
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PublishError, match="daily_candles: "):
        publish(lake, DAILY_CANDLES, unit, str(tmp_path / "file"))


class PanicException(BaseException):
    """What the Rust code of the library raises: no `Exception`."""


@pytest.mark.parametrize("error", [OSError("Kernel error:\n  403"), PanicException("403")])
def test_a_storage_that_fails_in_the_middle_fails_with_one_line_and_stops_no_other(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    there = Published(lake, DAILY_CANDLES, str(tmp_path))
    there.bring(unit)

    def fails(*_: object, **__: object) -> None:
        raise error

    for name, ask in {
        "transaction_version": lambda: there.bring(unit),
        "get_add_actions": there.size,
        "partitions": there.beyond,
        "vacuum": there.vacuum,
    }.items():
        with monkeypatch.context() as broken:
            broken.setattr(DeltaTable, name, fails)
            with pytest.raises(PublishError, match=r"daily_candles/?: \w+: .*403$"):
                ask()
    monkeypatch.setattr(DeltaTable, "get_add_actions", fails)
    outcome = bring_over(lake, DAILY_CANDLES, str(tmp_path))
    assert "403" in outcome.failure


@pytest.mark.parametrize("parts", [None, ["stock_code"], ["unit"]])
def test_the_table_of_another_program_is_left_as_it_is(
    lake: Lake, tmp_path: Path, parts: list[str] | None
) -> None:
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    there = Published(lake, DAILY_CANDLES, str(tmp_path))
    theirs = pl.DataFrame({"unit": [202603], "stock_code": "005930", "note": "mine"})
    if parts != ["unit"]:
        theirs = theirs.with_columns(unit=pl.lit("2026-03"))
    write_deltalake(there.address, theirs.to_arrow(), partition_by=parts)
    for ask in (lambda: there.bring(unit), there.behind, there.beyond, there.size, there.differing):
        with pytest.raises(PublishError, match="another program made the table there"):
            ask()
    assert pl.read_delta(there.address)["note"].to_list() == ["mine"]


def test_two_data_folders_do_not_overwrite_each_other(lake: Lake, tmp_path: Path) -> None:
    table, scope = DAILY_CANDLES, Scope.month(DAY)
    unit = lake.replace(table, scope, rows(table, DAY, ["005930", "000660"])).unit
    publish(lake, table, unit, str(tmp_path / "there"))
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    other = Lake(tmp_path / "of a test machine" / "mock", source="mock")
    other.replace(table, scope, rows(table, DAY, ["005930"]))
    with pytest.raises(PublishError, match="another data folder publishes its rows there"):
        publish(other, table, unit, str(tmp_path / "there"))
    assert read(tmp_path / "there", table).height == 2
    moved = Lake(tmp_path / "moved" / "mock", source="mock")
    moved.replace(table, scope, rows(table, DAY, ["005930"]))
    assert publish(moved, table, unit, str(tmp_path / "there"))
    assert read(tmp_path / "there", table).height == 1


def test_what_is_published_is_known_from_one_reading_of_the_log(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library reads all of it for each unit that it is asked for."""
    days = [date(2010 + month // 12, 1 + month % 12, 15) for month in range(12)]
    for day in days:
        lake.replace(DAILY_CANDLES, Scope.month(day), rows(DAILY_CANDLES, day, ["005930"]))
    there = Published(lake, DAILY_CANDLES, str(tmp_path))
    for unit in there.behind():
        there.bring(unit)
    table = DeltaTable(there.address)
    assert list(Path(there.address, "_delta_log").glob("*.checkpoint.parquet"))
    expected = {unit: table.transaction_version(unit) for unit in lake.units(DAILY_CANDLES)}
    assert transactions(table, there.address) == expected
    assert len(expected) == 12
    monkeypatch.setattr(DeltaTable, "transaction_version", None)
    assert there.behind() == []
    lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"]))
    assert there.behind() == ["month=2026-03"]


def test_without_the_package_one_sentence_says_what_to_install(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(PublishError, match=r"pip install 'deltalake>=1\.6'"):
        publish(lake, DAILY_CANDLES, "month=2026-03", "anywhere")


# What changed, and only that


def delta_version(folder: Path, table: Table) -> int:
    return DeltaTable(str(folder / "mock" / table.name)).version()


def test_a_unit_that_did_not_change_is_not_written_again(lake: Lake, tmp_path: Path) -> None:
    same = rows(DAILY_CANDLES, DAY, ["005930"])
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), same).unit
    there = Published(lake, DAILY_CANDLES, str(tmp_path))
    assert (there.behind(), there.bring(unit), there.behind()) == ([unit], True, [])
    before = delta_version(tmp_path, DAILY_CANDLES)
    lake.replace(DAILY_CANDLES, Scope.month(DAY), same)
    assert there.behind() == []
    assert not there.bring(unit)
    assert delta_version(tmp_path, DAILY_CANDLES) == before
    lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"], price=2))
    assert there.behind() == [unit]


def test_two_that_publish_the_same_unit_at_once_both_end_well(lake: Lake, tmp_path: Path) -> None:
    table = DAILY_CANDLES
    units = [
        lake.replace(table, Scope.month(day), rows(table, day, ["005930", "000660"])).unit
        for day in (DAY, date(2026, 4, 1))
    ]
    Published(lake, table, str(tmp_path)).bring(units[0])
    for price in range(200, 206):
        lake.replace(table, Scope.month(DAY), rows(table, DAY, ["005930"], price=price))
        together = Barrier(4)

        def bring(unit: str, together: Barrier = together) -> bool:
            there = Published(lake, table, str(tmp_path), sleep=lambda _: None)
            together.wait()
            return there.bring(unit)

        with ThreadPoolExecutor(4) as pool:
            done = [*pool.map(bring, [units[0], units[0], units[0], units[1]])]
        assert True in done[:3]
        assert Published(lake, table, str(tmp_path)).differing() == []
        assert read(tmp_path, table).filter(unit="2026-03")["close"].to_list() == [price]


def test_older_rows_never_take_the_place_of_newer_ones(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One publisher has read its rows when another stores and publishes newer ones.
    table, scope = DAILY_CANDLES, Scope.month(DAY)
    unit = lake.replace(table, scope, rows(table, DAY, ["005930"])).unit
    publish(lake, table, unit, str(tmp_path))
    lake.replace(table, scope, rows(table, DAY, ["005930"], price=200))
    slow = Published(lake, table, str(tmp_path), sleep=lambda _: None)
    commit = slow._commit
    overtaken: list[bool] = []

    def late(*given: Any, **named: Any) -> bool:
        if not overtaken:
            lake.replace(table, scope, rows(table, DAY, ["005930"], price=300))
            overtaken.append(publish(lake, table, unit, str(tmp_path)))
        return commit(*given, **named)

    monkeypatch.setattr(slow, "_commit", late)
    assert not slow.bring(unit)
    assert (overtaken, read(tmp_path, table)["close"].to_list()) == ([True], [300])


def test_what_a_crash_left_behind_is_no_row_and_a_later_vacuum_deletes_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "data" / "mock", source="mock", keep_days=0)
    table, scope = DAILY_CANDLES, Scope.month(DAY)
    unit = lake.replace(table, scope, rows(table, DAY, ["005930"])).unit
    there = Published(lake, table, str(tmp_path))
    there.bring(unit)
    folder = tmp_path / "mock" / table.name
    (orphan,) = folder.rglob("*.parquet")
    left = shutil.copy(orphan, orphan.with_name("part-00000-of-a-killed-process.parquet"))
    assert there.differing() == []
    for price in (200, 300):
        lake.replace(table, scope, rows(table, DAY, ["005930"], price=price))
        there.bring(unit)
    assert there.vacuum() == 3
    assert there.differing() == []
    assert not left.exists()
    assert len([*folder.rglob("part-*.parquet")]) == 1
    version = delta_version(tmp_path, table)
    assert there.vacuum() == 0
    assert delta_version(tmp_path, table) == version, "nothing to do is no commit"


def test_rows_that_were_changed_there_are_found(lake: Lake, tmp_path: Path) -> None:
    table = DAILY_CANDLES
    unit = lake.replace(table, Scope.month(DAY), rows(table, DAY, ["005930", "000660"])).unit
    there = Published(lake, table, str(tmp_path))
    assert there.differing() == [unit]
    there.bring(unit)
    assert there.differing() == []
    DeltaTable(there.address).update(
        updates={"close": "close + 1"}, predicate="stock_code = '005930'"
    )
    assert (there.behind(), there.differing()) == ([], [unit])
    assert there.bring(unit, again=True)
    assert (there.behind(), there.differing()) == ([], [])


def test_what_is_published_and_stored_no_more_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "data" / "mock", source="mock")
    table = DAILY_CANDLES
    for day in (DAY, date(2026, 4, 1)):
        lake.replace(table, Scope.month(day), rows(table, day, ["005930"]))
    monkeypatch.setenv("KIS_LAKE_URL", str(tmp_path / "there"))
    assert CliRunner().invoke(app, ["publish"]).exit_code == 0
    for part in ("versions", "parquet"):
        for path in (lake.folder / part / table.name).glob("month=2026-04*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    told = CliRunner().invoke(app, ["publish", "--dry-run"])
    assert "no longer in the lake: daily_candles 2026-04" in told.stderr
    told = CliRunner().invoke(app, ["publish", "--verify"])
    assert (told.exit_code, "more is published than is stored" in told.stderr) == (1, True)


def test_a_unit_of_which_no_version_can_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "data" / "mock", source="mock")
    lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"]))
    for path in (lake.folder / "versions" / "daily_candles").rglob("*.parquet"):
        path.chmod(0o600)
        path.write_bytes(b"garbage")
    monkeypatch.setenv("KIS_LAKE_URL", str(tmp_path / "there"))
    lake.replace(PRICE_SNAPSHOTS, Scope.day(DAY), rows(PRICE_SNAPSHOTS, DAY, ["005930"]))
    told = CliRunner().invoke(app, ["publish"])
    assert told.exit_code == 1
    assert "daily_candles" in told.stderr
    assert read(tmp_path / "there", PRICE_SNAPSHOTS).height == 1, "others go on"


def test_what_gave_way_is_kept_as_long_as_the_lake_keeps_versions(
    lake: Lake, tmp_path: Path
) -> None:
    """A reader that began before has that long; then nothing forgets to delete it."""
    table, scope, versions = DAILY_CANDLES, Scope.month(DAY), list[int]()
    for price in (100, 200):
        lake.replace(table, scope, rows(table, DAY, ["005930"], price=price))
        there = Published(lake, table, str(tmp_path))
        there.bring("month=2026-03")
        versions.append(DeltaTable(there.address).version())
    assert there.vacuum() == 0
    assert pl.read_delta(there.address, version=versions[0])["close"].to_list() == [100]
    kept = DeltaTable(there.address).metadata().configuration
    assert kept["delta.deletedFileRetentionDuration"] == "interval 30 days"


@pytest.mark.parametrize("days_then", [7, None], ids=["fewer days", "no property"])
def test_a_table_made_for_fewer_days_keeps_what_gave_way_as_long_as_the_lake_does_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days_then: int | None
) -> None:
    """Its log forgot files after so many days, and a vacuum took them by their own age."""
    table, scope, address = DAILY_CANDLES, Scope.month(DAY), tmp_path / "mock" / "daily_candles"
    lake = Lake(tmp_path / "data" / "mock", source="mock", keep_days=30)
    names = ("delta.deletedFileRetentionDuration", "delta.logRetentionDuration")
    old = rows(table, DAY, ["005930"]).with_columns(unit=pl.lit("2026-03"))
    write_deltalake(
        address,
        old.to_arrow(),
        partition_by=["unit"],
        configuration=dict.fromkeys(names, f"interval {days_then} days") if days_then else None,
    )

    # As if it gave way within the 30 days, and the log was cleaned since.
    (used,) = address.rglob("*.parquet")
    left = used.with_name("part-forgotten.parquet")
    shutil.copy(used, left)
    os.utime(left, (0, 0))
    there = Published(lake, table, str(tmp_path))
    for _ in range(2):
        there.vacuum()
        assert left.exists(), "what the log forgot may have given way just now"
    kept = DeltaTable(address).metadata().configuration
    assert {kept[name] for name in names} == {"interval 30 days"}
    in_a_month = time.time() + 31 * 86_400
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: in_a_month)
        assert there.vacuum() == 1
    assert not left.exists(), "by now it gave way long ago"
    lake.replace(table, scope, rows(table, DAY, ["005930"], price=200))
    longer = Lake(lake.folder, source="mock", keep_days=365)
    assert Published(longer, table, str(tmp_path)).bring("month=2026-03")
    kept = DeltaTable(address).metadata().configuration
    assert {kept[name] for name in names} == {"interval 365 days"}, "before a commit's checkpoint"
    assert Published(longer, table, str(tmp_path)).differing() == []


def test_a_storage_that_is_down_is_told_in_plain_words_and_soon(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PublishError, match=r"^s3://bucket/lake/mock/daily_candles: ") as told:
        Published(lake, DAILY_CANDLES, "s3://bucket/lake").behind()
    assert "after 3 retries" in str(told.value)
    assert not {"\x1b", "\n"}.intersection(str(told.value))
    assert "hunter2" not in str(told.value)


# Columns


def as_of_before(lake: Lake, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> str:
    """A Delta table of a month as another version of the program may have written it."""
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    old = change(lake.scan(DAILY_CANDLES).collect().with_columns(unit=pl.lit("2026-02")))
    target = str(tmp_path / "mock" / "daily_candles")
    write_deltalake(target, old.to_arrow(), partition_by=["unit"])
    return unit


def test_a_new_column_is_added_there(lake: Lake, tmp_path: Path) -> None:
    unit = as_of_before(lake, tmp_path, lambda old: old.drop("split_ratio"))
    assert publish(lake, DAILY_CANDLES, unit, str(tmp_path))
    found = read(tmp_path, DAILY_CANDLES).sort("unit")
    assert found["split_ratio"].to_list() == [None, 0.5]


def test_a_table_that_gets_a_column_is_published_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of the program before had one column less; the stored rows are the same."""
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    fewer = [it for it in DAILY_CANDLES.columns if it.name != "split_ratio"]
    before = replace(DAILY_CANDLES, columns=tuple(fewer))
    Published(lake, before, str(tmp_path)).bring(unit)
    now = Published(lake, DAILY_CANDLES, str(tmp_path))
    assert (now.differing(), now.behind()) == ([unit], [unit])
    assert now.bring(unit)
    assert (now.differing(), now.behind()) == ([], [])


def test_two_that_make_the_same_table_at_once_both_end_well(lake: Lake, tmp_path: Path) -> None:
    table = DAILY_CANDLES
    unit = lake.replace(table, Scope.month(DAY), rows(table, DAY, ["005930"])).unit
    for attempt in range(5):
        together = Barrier(4)
        url = str(tmp_path / str(attempt))

        def bring(_: int, together: Barrier = together, url: str = url) -> bool:
            there = Published(lake, table, url, sleep=lambda _: None)
            together.wait()
            return there.bring(unit)

        with ThreadPoolExecutor(4) as pool:
            assert True in [*pool.map(bring, range(4))]
        assert Published(lake, table, url).differing() == []


def test_a_column_of_another_type_is_refused_and_nothing_is_cut(lake: Lake, tmp_path: Path) -> None:
    unit = as_of_before(lake, tmp_path, lambda old: old.cast({"split_ratio": pl.Int64}))
    before = delta_version(tmp_path, DAILY_CANDLES)
    with pytest.raises(PublishError, match="split_ratio is Int64 there and Float64 here"):
        publish(lake, DAILY_CANDLES, unit, str(tmp_path))
    assert delta_version(tmp_path, DAILY_CANDLES) == before


def test_a_check_refuses_a_column_that_another_writer_made_text(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    publish(lake, DAILY_CANDLES, unit, str(tmp_path))
    text = read(tmp_path, DAILY_CANDLES).with_columns(close=pl.lit("n/a"))
    address = tmp_path / "mock" / "daily_candles"
    write_deltalake(address, text.to_arrow(), mode="overwrite", schema_mode="overwrite")
    with pytest.raises(PublishError, match="close is String there and Int64 here"):
        Published(lake, DAILY_CANDLES, str(tmp_path)).differing()
    monkeypatch.setenv("KIS_LAKE_URL", str(tmp_path))
    told = CliRunner().invoke(app, ["publish", "--verify"])
    assert (told.exit_code, "close is String there" in told.stderr) == (1, True), told.output


def test_engines_of_older_arrow_types_can_read_it(lake: Lake, tmp_path: Path) -> None:
    unit = lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"])).unit
    publish(lake, DAILY_CANDLES, unit, str(tmp_path))
    (file,) = (tmp_path / "mock" / "daily_candles").glob("unit=2026-03/*.parquet")
    types = {str(field.type) for field in pq.read_schema(file)}
    assert not {kind for kind in types if "view" in kind or "large" in kind}, types


def materialize() -> dict[str, object]:
    result = dg.materialize(
        [market_days],
        partition_key="2026",
        resources={"kis": KISResource(), "lake": LakeResource()},
    )
    assert result.success
    (event,) = result.asset_materializations_for_node("market_days")
    return {name: value.value for name, value in event.metadata.items()}


def test_a_materialization_publishes_what_it_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KIS_LAKE_URL", "there")
    told = materialize()
    assert told["published"] == str(tmp_path / "there" / "mock" / "market_days")
    assert read(tmp_path / "there", MARKET_DAYS).height == told["dagster/row_count"] == 365
    files = f"{tmp_path}/there/mock/market_days/*/*.parquet"
    assert duckdb.sql(f"SELECT count(*) FROM '{files}'").fetchall() == [(365,)]


def test_a_publication_that_fails_fails_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "there").write_text("in the way")
    monkeypatch.setenv("KIS_LAKE_URL", "there")
    told = materialize()
    assert "market_days" in str(told["not published"])
    assert told["dagster/row_count"] == 365
    assert "not published" in caplog.text


def test_the_command_publishes_all_that_is_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert CliRunner().invoke(app, ["publish"]).exit_code == 2
    lake = Lake(tmp_path / "data" / "mock", source="mock")
    for table, scope in ((DAILY_CANDLES, Scope.month(DAY)), (PRICE_SNAPSHOTS, Scope.day(DAY))):
        lake.replace(table, scope, rows(table, DAY, ["005930"]))
    monkeypatch.setenv("KIS_LAKE_URL", str(tmp_path / "there"))
    told = CliRunner().invoke(app, ["publish"])
    assert told.exit_code == 0, told.output
    for table in (DAILY_CANDLES, PRICE_SNAPSHOTS):
        assert read(tmp_path / "there", table).height == 1
    for given, said in (
        (["publish"], "0 units published"),
        (["publish", "--verify"], "equal the stored rows"),
    ):
        told = CliRunner().invoke(app, given)
        assert (told.exit_code, said in told.stdout) == (0, True), told.output
    lake.replace(DAILY_CANDLES, Scope.month(DAY), rows(DAILY_CANDLES, DAY, ["005930"], price=9))
    told = CliRunner().invoke(app, ["publish", "--dry-run"])
    assert told.stdout == "daily_candles month=2026-03 is behind\n"
    told = CliRunner().invoke(app, ["publish", "--dry-run", "--verify"])
    assert (told.exit_code, "daily_candles month=2026-03" in told.stderr) == (1, True)
    told = CliRunner().invoke(app, ["publish", "nothing"])
    assert (told.exit_code, "is not a table" in told.stderr) == (2, True)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://host/lake", "KIS_LAKE_URL=ftp://host/lake: must be s3://"),
        ("s3://KEY:SECRET@bucket/lake", "KIS_LAKE_URL: must contain no credentials"),
        ("az://box/lake?sig=SECRET", "KIS_LAKE_URL: must contain no credentials"),
        ("s3://box/team#korea", "KIS_LAKE_URL: must contain no '#'"),
        ("s3:///lake", "KIS_LAKE_URL: must name a bucket"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as told:
        Settings.load(kis_lake_url=url)
    assert "SECRET" not in str(told.value)
    for fine in ("s3://bucket/lake", "gs://bucket", "az://box", "file:///lake", "lake"):
        assert Settings.load(kis_lake_url=fine).kis_lake_url == fine

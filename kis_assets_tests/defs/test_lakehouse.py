"""The asset `lakehouse`: what no run published is brought over, and is found equal to the lake."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from kis_assets.definitions import defs
from kis_assets.defs.resources import open_lake
from kis_assets.defs.schedules import plans
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.tables import (
    DAILY_CANDLES,
    KRX_DAILY,
    PRICE_SNAPSHOTS,
    QUALITY,
    REQUESTS,
    TABLES,
    Table,
)
from kis_assets_tests.support.small_rows import NOW, based, frame

pytest.importorskip("deltalake", reason="needs the extra of that name: pip install deltalake")
from deltalake import DeltaTable, write_deltalake

DAY, APRIL = date(2026, 3, 17), date(2026, 4, 1)
BLANK = {
    "Int64": 1,
    "String": "00",
    "Float64": 0.5,
    "Boolean": True,
    "Datetime(time_unit='us', time_zone='UTC')": NOW,
}


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder to publish to."""
    monkeypatch.setenv("KIS_LAKE_URL", str(tmp_path / "there"))
    return tmp_path / "there"


@pytest.fixture
def lake(there: Path) -> Lake:
    """Two months of candles, and two tables that runs write beside their own."""
    made = open_lake(Settings.load())
    assert made.source == "mock"
    for day in (DAY, APRIL):
        store(made, DAILY_CANDLES, day, 100)
    for table in (QUALITY, REQUESTS):
        row = {it.name: BLANK.get(str(it.dtype), DAY) for it in table.columns}
        scope = Scope.month(DAY) if table.unit == "month" else Scope.day(DAY)
        made.replace(table, scope, frame(table, row | {"source": "mock"}))
    return made


def store(lake: Lake, table: Table, day: date, price: int) -> None:
    row = based(day, price, price, source=lake.source)
    if table is not DAILY_CANDLES:
        blank = {it.name: BLANK.get(str(it.dtype)) for it in table.columns}
        row = blank | {"trading_day": day, "stock_code": "005930", "close": price}
    scope = Scope.month(day) if table.unit == "month" else Scope.day(day)
    lake.replace(table, scope, frame(table, row | {"source": lake.source}))


def published(*, fails: bool = False) -> dict[str, Any]:
    """What a run of the job says of itself, and of its check unless it fails."""
    job = defs.resolve_job_def("lakehouse_publication")
    result = job.execute_in_process(resources=defs.resources, raise_on_error=False)
    assert result.success != fails
    if fails:
        [failed] = [it for it in result.all_node_events if it.is_step_failure]
        told = failed.step_failure_data.user_failure_data
        return {"said": told.description, **told.metadata}
    [event] = result.asset_materializations_for_node("lakehouse")
    [check] = result.get_asset_check_evaluations()
    return {"check": check, **{name: value.value for name, value in event.metadata.items()}}


def read(there: Path, table: Table, source: str = "mock") -> pl.DataFrame:
    return pl.read_delta(str(there / source / table.name)).drop("unit").sort(table.key)


def test_what_no_run_published_is_brought_over_with_what_runs_keep_of_themselves(
    lake: Lake, there: Path
) -> None:
    told = published()
    for table in (DAILY_CANDLES, QUALITY, REQUESTS):
        assert_frame_equal(read(there, table), lake.scan(table).collect().sort(table.key))
    units = sum(len(lake.units(table)) for table in TABLES.values())
    assert (told["units brought over"], told["units behind"]) == (units, 0)
    assert told["dagster/row_count"] == sum(
        lake.scan(table).collect().height for table in TABLES.values()
    )
    assert told["bytes"] == sum(it.stat().st_size for it in there.rglob("unit=*/*.parquet"))
    assert re.search(r"\| mock daily_candles \| 2 \| 0.0\d \| 2 \| 2 \|", told["tables"])
    assert told["check"].passed


def test_what_did_not_change_is_left_alone_and_what_did_is_named(lake: Lake, there: Path) -> None:
    published()
    before = DeltaTable(str(there / "mock" / "quality")).version()
    store(lake, PRICE_SNAPSHOTS, DAY, 200)
    told = published()
    assert told["units brought over"] == 1
    assert told["were behind"] == "mock price_snapshots trading_day=2026-03-17"
    assert DeltaTable(str(there / "mock" / "quality")).version() == before
    assert published()["were behind"] == "nothing"


def test_what_krx_told_beside_it_is_published_too(lake: Lake, there: Path) -> None:
    """Its lake is the neighbour of that of KIS; that of the mock source is its own."""
    krx = Lake(lake.folder.with_name("krx"), source="krx")
    store(krx, KRX_DAILY, DAY, 100)
    told = published()
    assert read(there, KRX_DAILY, "krx")["close"].to_list() == [100]
    assert "krx krx_daily month=2026-03" in told["were behind"]
    assert told["check"].passed


def test_a_table_that_is_refused_fails_the_run_and_stops_no_other(lake: Lake, there: Path) -> None:
    """Whole numbers are there where the lake has fractions, which would be cut."""
    old = lake.scan(DAILY_CANDLES).collect().with_columns(unit=pl.lit("2026-02"))
    target = there / "mock" / "daily_candles"
    write_deltalake(
        str(target), old.cast({"split_ratio": pl.Int64}).to_arrow(), partition_by=["unit"]
    )
    before = DeltaTable(str(target)).version()
    told = published(fails=True)
    assert "split_ratio is Int64 there and Float64 here" in told["said"]
    assert DeltaTable(str(target)).version() == before
    assert read(there, QUALITY).height == 1
    assert told["units behind"].value == 2
    assert "month=2026-03" in told["behind"].value


def test_a_storage_that_fails_is_told_in_a_sentence(lake: Lake, there: Path) -> None:
    there.write_text("in the way")
    told = published(fails=True)
    assert "could not be published" in told["said"]


def test_without_an_address_it_says_what_to_set() -> None:
    told = published(fails=True)
    assert told["said"].startswith("KIS_LAKE_URL is not set")


def test_it_follows_every_table_and_is_scheduled_where_there_is_an_address(
    monkeypatch: pytest.MonkeyPatch, there: Path
) -> None:
    graph = defs.resolve_asset_graph()
    node = graph.get(dg.AssetKey("lakehouse"))
    tables = {key.to_user_string() for key in node.parent_keys}
    assert tables >= {"daily_candles", "krx_daily", "trades", "market_days"}
    assert "lakehouse_published" in [plan.name for plan in plans(Settings.load())]
    monkeypatch.delenv("KIS_LAKE_URL")
    assert "lakehouse_published" not in [plan.name for plan in plans(Settings.load())]


# The check


def checked() -> dg.AssetCheckEvaluation:
    """What the check alone says, without bringing anything over before."""
    job = defs.resolve_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(dg.AssetKey("lakehouse"), "it_equals_the_lake")
    result = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(
        resources=defs.resources
    )
    [found] = result.get_asset_check_evaluations()
    return found


def test_rows_that_were_changed_there_are_an_error(lake: Lake, there: Path) -> None:
    published()
    DeltaTable(str(there / "mock" / "daily_candles")).update(
        updates={"close": "close + 1"}, predicate="unit = '2026-03'"
    )
    found = checked()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.metadata["differing"].value == "mock daily_candles month=2026-03"


def test_a_file_that_is_gone_there_is_an_error(lake: Lake, there: Path) -> None:
    published()
    [file] = (there / "mock" / "daily_candles" / "unit=2026-04").glob("*.parquet")
    file.unlink()
    found = checked()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "daily_candles" in str(found.description)


def test_rows_that_are_stored_no_more_are_an_error(lake: Lake, there: Path) -> None:
    published()
    table = lake.folder / "versions" / "daily_candles"
    (table / "month=2026-03").rename(lake.folder / "elsewhere")
    found = checked()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert found.metadata["stored no more"].value == "mock daily_candles 2026-03"


def test_what_is_behind_is_a_warning(lake: Lake, there: Path) -> None:
    published()
    store(lake, PRICE_SNAPSHOTS, DAY, 100)
    found = checked()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["behind"].value == "mock price_snapshots trading_day=2026-03-17"


def test_older_units_are_read_back_in_turn_and_counted_always(
    lake: Lake, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lake of years is not read back whole each day, and all of it is within a month."""
    from kis_assets.lake.delta import Published

    published()
    DeltaTable(str(there / "mock" / "daily_candles")).update(
        updates={"close": "close + 1"}, predicate="unit = '2026-03'"
    )
    monkeypatch.setattr("kis_assets.lake.delta.FRESH", -1e9)
    lakehouse = Published(lake, DAILY_CANDLES, str(there))
    found = [lakehouse.differing(turn=turn) for turn in range(30)]
    assert [it for it in found if it] == [["month=2026-03"]]
    DeltaTable(str(there / "mock" / "daily_candles")).delete("unit = '2026-04'")
    assert all("month=2026-04" in lakehouse.differing(turn=turn) for turn in range(30))

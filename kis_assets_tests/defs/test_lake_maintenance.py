"""The lake is maintained by a job, and by the commands that store: old versions go."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kis_assets.cli.common import maintain
from kis_assets.cli.output import console
from kis_assets.defs.jobs import lake_maintenance
from kis_assets.defs.resources import LakeResource
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES, Table
from kis_assets_tests.support.small_rows import based, frame

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


def with_an_old_version(folder: Path, table: Table, rows: list[dict[str, Any]]) -> Lake:
    """A lake of years ago, with a version that gave way to another 100 days ago."""
    lake = Lake(folder, source=folder.name, clock=lambda: LONG_AGO)
    for row in rows:
        scope = Scope.day if table.unit == "day" else Scope.month
        day = row["trading_day"]
        lake.replace(table, scope(day), frame(table, row, source=folder.name))
    return lake


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "data"))
    days = [date(2024, 3, 4), date(2024, 3, 4), date(2024, 4, 1)]
    rows = [based(day, close, close) for day, close in zip(days, (1, 2, 3), strict=True)]
    with_an_old_version(tmp_path / "data" / "mock", DAILY_CANDLES, rows)
    return tmp_path / "data"


def files(folder: Path, kind: str) -> int:
    return len(list((folder / kind / "daily_candles").glob("*/*.parquet")))


def made_by_the_job() -> dict[str, Any]:
    result = lake_maintenance.execute_in_process(resources={"lake": LakeResource()})
    [output] = [it for it in result.all_events if it.event_type == dg.DagsterEventType.STEP_OUTPUT]
    return {name: it.value for name, it in output.step_output_data.metadata.items()}


def test_a_job_deletes_old_versions_and_makes_larger_files(data: Path) -> None:
    assert made_by_the_job() == {"deleted_versions": 1, "larger_files": 1}
    assert (files(data / "mock", "versions"), files(data / "mock", "compacted")) == (2, 1)
    assert not (data / "krx").exists()


def test_what_krx_told_is_maintained_too(data: Path) -> None:
    rows = [based(date(2024, 5, 2), close, close) for close in (1, 2)]
    with_an_old_version(data / "krx", DAILY_CANDLES, rows)
    assert made_by_the_job() == {"deleted_versions": 2, "larger_files": 1}


def test_commands_that_store_do_it_too(data: Path) -> None:
    maintain(console(), Lake(data / "mock", source="mock"))
    assert (files(data / "mock", "versions"), files(data / "mock", "compacted")) == (2, 1)


def test_a_disk_that_fails_is_told_and_stops_no_command(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kis_assets.lake.compaction.Compaction.make", full)
    maintain(console(), Lake(data / "mock", source="mock"))
    assert "No space left on device" in capsys.readouterr().err

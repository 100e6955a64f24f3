"""The notebook on a fresh lake, on what one run leaves and on a full one: it never crashes."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS, STOCK_MASTER
from kis_assets_tests.support.small_lake import DAY, MONTHS

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "start.py"
NO_MINUTES = "no minute_candles at all are stored yet; run: kis-assets run --table minute_candles"
NO_BOOKS = "while the market is open: run: kis-assets run --table order_books"


@pytest.fixture(autouse=True)
def marimo() -> None:
    pytest.importorskip("marimo", reason="marimo is in the extra dev")


@pytest.fixture
def after_a_run(small_lake: Path, tmp_path: Path) -> Path:
    """What `kis-assets run` leaves of a table: neither minutes nor order books."""
    whole, made = Lake(small_lake, source="mock"), Lake(tmp_path / "run" / "mock", source="mock")
    for table, scopes in {
        STOCK_MASTER: [Scope.day(DAY)],
        DAILY_CANDLES: [Scope.month(month) for month in MONTHS],
    }.items():
        for scope in scopes:
            rows = whole.scan(table, first=scope.first, last=scope.last).collect()
            made.replace(table, scope, rows)
    prices = whole.scan(PRICE_SNAPSHOTS, first=DAY, last=DAY).collect()
    for (at,), rows in prices.group_by("captured_at"):
        made.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, at), rows)  # type: ignore[arg-type]
    return made.folder


def said_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What the notebook prints as a script."""
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_DATA_DIR", str(folder.parent))
    monkeypatch.setenv("POLARS_FMT_MAX_ROWS", "20")
    runpy.run_path(str(NOTEBOOK), run_name="__main__")
    return capsys.readouterr().out


def test_a_fresh_lake_is_told_what_to_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_of(tmp_path / "none" / "mock", monkeypatch, capsys)
    assert said.count("nothing is stored in") == said.count("run: kis-assets run\n") == 1


def test_after_a_run_the_rest_is_told_with_its_commands(
    after_a_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_of(after_a_run, monkeypatch, capsys)
    assert NO_MINUTES in said
    assert NO_BOOKS in said
    assert "percent" in said


def test_a_full_lake_is_shown(
    small_lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_of(small_lake, monkeypatch, capsys)
    assert f"{small_lake}\n" in said
    for column in ("percent", "clock", "basis_points", "15:30"):
        assert column in said
    assert "run: kis-assets" not in said


@pytest.mark.parametrize(("lake", "pictures"), [("small_lake", 3), ("after_a_run", 1)])
def test_marimo_shows_the_pictures(
    lake: str, pictures: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(lake)
    page = tmp_path / "start.html"
    made = subprocess.run(
        [sys.executable, "-m", "marimo", "export", "html", NOTEBOOK, "-o", page],
        env=os.environ | {"DATA_SOURCE_TYPE": "mock", "KIS_DATA_DIR": str(folder.parent)},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert page.read_text(encoding="utf-8").count("data:image/png;base64") == pictures

"""The pages made from the code are those of this code, and the notebook runs.

The commands, queries and Python of all pages: `test_every_command.py`.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from kis_assets.checks.page import page as checks_page
from kis_assets.dictionary import page
from kis_assets.tables import TABLES
from kis_assets.views import VIEWS

ROOT = Path(__file__).parents[1]


def test_the_data_dictionary_is_that_of_the_code() -> None:
    stored = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert stored == page(), "stale: kis-assets docs > docs/tables.md"


def test_the_data_dictionary_names_every_table_view_and_column() -> None:
    text = page()
    for name in (*TABLES, *VIEWS):
        assert f"\n## {name}\n" in text
    for table in TABLES.values():
        section = text.partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        for column in table.columns:
            assert f"\n| {column.name} | " in section, f"{table.name}.{column.name}"


def test_the_page_of_checks_is_that_of_the_code() -> None:
    stored = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    assert stored == checks_page(), "stale: kis-assets docs checks > docs/trust.md"


@pytest.mark.slow
def test_the_notebook_runs_as_a_script(
    small_lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("marimo", reason="marimo is not installed: pip install 'kis-assets[dev]'")
    monkeypatch.setenv("KIS_DATA_DIR", str(small_lake.parent))
    monkeypatch.setenv("POLARS_FMT_MAX_ROWS", "20")
    runpy.run_path(str(ROOT / "notebooks" / "start.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert f"{small_lake}{os.sep}"[:-1] in said
    for column in ("percent", "clock", "basis_points"):
        assert column in said
    assert "15:30" in said

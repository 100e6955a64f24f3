"""The pages for analysts: what they show runs, and what they list is what there is."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import duckdb
import pytest

from kis_assets.checks.page import page as checks_page
from kis_assets.dictionary import page
from kis_assets.tables import TABLES
from kis_assets.views import VIEWS

ROOT = Path(__file__).parents[1]
ANALYSTS = (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[str, str]]:
    """The headings and the code below them."""
    found = []
    for section in re.split(r"^##+ ", ANALYSTS, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for code in re.findall(rf"```{language}\n(.*?)```", body, flags=re.DOTALL):
            found.append((heading, code))
    return found


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


def test_there_are_ten_queries_at_least() -> None:
    assert len(blocks("sql")) >= 10


@pytest.mark.parametrize(("heading", "query"), blocks("sql"), ids=[it[0] for it in blocks("sql")])
def test_every_query_of_the_page_gives_rows(small_lake: Path, heading: str, query: str) -> None:
    with duckdb.connect(str(small_lake / "market.duckdb"), read_only=True) as connection:
        assert connection.execute(query).fetchall(), heading


@pytest.mark.parametrize(("heading", "code"), blocks("python"), ids=lambda it: it[:12])
def test_every_piece_of_python_of_the_page_runs(
    small_lake: Path, monkeypatch: pytest.MonkeyPatch, heading: str, code: str
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(small_lake.parent))
    exec(compile(code, heading, "exec"), {})


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

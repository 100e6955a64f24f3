"""The pages made from the code are those of this code, and the notebook runs.

The commands, queries and Python of all pages: `test_every_command.py`.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
from pathlib import Path

import pytest

from kis_assets.cli.docs_checks import page as checks_page
from kis_assets.cli.docs_tables import page
from kis_assets.kis.stream_records import TR_IDS
from kis_assets.lake.views import VIEWS
from kis_assets.tables import TABLES
from kis_assets_tests.support.in_process import endpoints

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


# What is not known


UNKNOWNS = (ROOT / "docs" / "unknowns.md").read_text(encoding="utf-8")
QUESTIONS = {
    "kis_api.md, section 22": [str(n) for n in range(1, 24)],
    "kis_api_more.md, section 13": [str(n) for n in range(1, 26)],
    "market_since_2026_09.md": [f"8.{n}" for n in range(1, 14)],
}
"""The numbers that the questions have on the reference pages."""


def questions(source: str) -> dict[str, tuple[str, str]]:
    """The first word and the rest of each last column, by number, of the table of that page."""
    (text,) = (part for part in UNKNOWNS.split("\n## ") if source in part.partition("\n")[0])
    rows = re.findall(r"^\| ([0-9.]+[a-z]?) \| .* \| ([\w ]+): (.*) \|$", text, re.MULTILINE)
    return {number: (word, said) for number, word, said in rows}


@pytest.mark.parametrize("source", QUESTIONS)
def test_the_page_of_unknowns_answers_every_question(source: str) -> None:
    assert set(questions(source)) >= set(QUESTIONS[source])
    for number, (word, said) in questions(source).items():
        tests = re.findall(r"`test_\w+\.py::test_\w+`", said)
        assert word in ("Both", "Nothing", "Not asked"), number
        assert tests or word != "Both", number


def test_all_tests_that_the_page_of_unknowns_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", UNKNOWNS))
    for file in {file for file, _ in named}:
        (path,) = (ROOT / "kis_assets_tests").rglob(file)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {it.name for it in tree.body if isinstance(it, ast.FunctionDef)}
        assert {name for of, name in named if of == file} <= known, file


def test_what_that_page_says_is_not_asked_is_not() -> None:
    asked = {it.name for it in endpoints()}
    asked |= set(TR_IDS.values())
    for number, (word, said) in questions("kis_api_more.md, section 13").items():
        calls = set(re.findall(r"`([\w-]+)`", said))
        assert word != "Not asked" or (calls and not calls & asked), number


def test_every_link_leads_somewhere() -> None:
    """To a file, and to a heading of it where one is named."""
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
    links = {
        (at, target)
        for at in pages
        for target in re.findall(r"\]\(([^)]+)\)", at.read_text(encoding="utf-8"))
        if "://" not in target
    }
    assert ("README.md", "SECURITY.md") in {(at.name, target) for at, target in links}
    for at, target in links:
        name, _, anchor = target.partition("#")
        text = (at.parent / name if name else at).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings}
        assert not anchor or anchor in anchors, f"{at.name}: {target}"

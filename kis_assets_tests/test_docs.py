"""The pages made from the code are those of this code, and the notebook runs.

The commands, queries and Python of all pages: `test_every_command.py`.
"""

from __future__ import annotations

import ast
import re
from datetime import date
from itertools import takewhile
from math import ceil
from pathlib import Path

import pytest

from kis_assets.cli.docs_pages import checks_page, tables_page
from kis_assets.defs.schedules import plans
from kis_assets.exchange import calendar
from kis_assets.kis.stream_records import TR_IDS
from kis_assets.lake.views import VIEWS
from kis_assets.monitoring.costs import requests_of
from kis_assets.settings import Settings
from kis_assets.tables import ETF_NAVS, TABLES, Table
from kis_assets_tests.support.in_process import endpoints
from kis_assets_tests.test_floors import FLOORS

ROOT = Path(__file__).parents[1]


def test_the_data_dictionary_is_that_of_the_code() -> None:
    stored = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert stored == tables_page(), "stale: kis-assets docs > docs/tables.md"


def test_the_data_dictionary_names_every_table_view_and_column() -> None:
    text = tables_page()
    for name in (*TABLES, *VIEWS):
        assert f"\n## {name}\n" in text
    for table in TABLES.values():
        section = text.partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        for column in table.columns:
            assert f"\n| {column.name} | " in section, f"{table.name}.{column.name}"


def test_the_page_of_checks_is_that_of_the_code() -> None:
    stored = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    assert stored == checks_page(), "stale: kis-assets docs checks > docs/trust.md"


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


# How it is built


def test_the_floors_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE)
    rooms = {int(floor): set(re.findall(r"`(\w+)`", names)) for floor, names in told}
    assert rooms == {number: rooms - {"allocator"} for number, rooms in enumerate(FLOORS)}


# Decisions


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PARTS = ["Context", "Decision", "What it costs", "What was measured", "Alternatives"]


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_parts_on_one_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(path.stem[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(text.splitlines()) <= 65


def test_no_two_decisions_have_one_number() -> None:
    numbers = [path.stem[:4] for path in DECISIONS]
    assert len(numbers) == len(set(numbers)) >= 7


# What to edit


TWENTY = """
    evening's schedules, error code, view, holiday, failed run, versions are kept, setting,
    progress bar, order books, `kis-assets candles`, evening report, column from KIS, notebook,
    investor, trades of the real-time stream, default rate, picture, shared state, tick sizes,
    sessions KIS keeps minutes
"""
"""Words of the changes that CONTRIBUTING.md has to answer, a row each."""


def changes() -> list[tuple[str, str]]:
    """What to change and what to edit for it, row by row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| to change | edit |\n| --- | --- |\n")[2].partition("\n\n")[0]
    return re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)


@pytest.mark.parametrize("words", re.split(r",\s+", TWENTY.strip()))
def test_a_newcomer_is_told_what_to_edit(words: str) -> None:
    assert len([change for change, _ in changes() if words in change]) == 1


def test_all_files_and_names_to_edit_are_there() -> None:
    """Each file exists, and each name stands in a file of its row."""
    missing: list[str] = []
    for change, edit in changes():
        spans = re.findall(r"`([^`]+)`", edit)
        paths = [ROOT / span for span in spans if "/" in span and " " not in span]
        assert paths, change
        missing += [f"{change}: {path.relative_to(ROOT)}" for path in paths if not path.exists()]
        files = [file for path in paths for file in (path, *path.glob("*")) if file.is_file()]
        texts = [file.read_text(encoding="utf-8") for file in files]
        names = [span for span in spans if re.fullmatch(r"\w+", span)]
        missing += [f"{change}: {it}" for it in names if not any(it in text for text in texts)]
    assert missing == []


def test_every_link_leads_somewhere() -> None:
    """To a file, and to a heading of it where one is named."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = {
        (at, target)
        for at in pages
        for target in re.findall(r"\]\(([^)]+)\)", at.read_text(encoding="utf-8"))
        if "://" not in target
    }
    assert ("README.md", "SECURITY.md") in {(at.name, target) for at, target in links}
    for at, target in links:
        name, _, anchor = target.partition("#")
        path = at.parent / name if name else at
        assert path.exists(), f"{at.name}: {target}"
        text = path.read_text(encoding="utf-8") if path.suffix == ".md" else ""
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings}
        assert not anchor or anchor in anchors, f"{at.name}: {target}"


# What an operator reads


OPERATORS = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
STOCKS, A_SECOND = 2_500, 18


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of operators.md, without its head."""
    text = OPERATORS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    table = list(takewhile(lambda line: line.count("|") == lines[0].count("|"), lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_schedule_stands_there_with_its_time() -> None:
    told = {
        (time.partition(" with ")[0], job)
        for when, job, _ in rows_of("Schedules")
        for time in when.split(", ")
    }
    for plan in plans(Settings.load(krx_api_key="k")):
        for tick in plan.moments.cron:
            minute, hour, *_ = tick.split()
            # On a day that ends an hour late, what follows its close comes an hour later.
            time = f"{hour.partition(',')[0]:0>2}:{minute:0>2}"
            when = time if minute.isdigit() else "every 30 minutes of the session"
            assert (when, plan.job.name) in told, plan.name


COSTLY = [table for table in TABLES.values() if table.cost is not None]


@pytest.mark.parametrize("table", COSTLY, ids=lambda table: table.name)
def test_the_requests_of_a_day_and_of_a_year_are_those_of_the_code(table: Table) -> None:
    (cells,) = [
        row for row in rows_of("An evening and a morning in requests") if row[0] == table.name
    ]
    _, _, _, a_day, takes, a_year, _ = cells
    settings = Settings.load(
        data_source_type="kis", kis_app_key="k", kis_app_secret="s", kis_use_virtual_server=False
    )
    stocks = 1_000 if table is ETF_NAVS else STOCKS
    requests = requests_of(table.name, stocks, date(2026, 11, 17), settings)
    assert sum(numbers(a_day)) == requests
    seconds = round(requests / A_SECOND)
    assert takes == (
        f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"
    )
    if not table.has_past:
        assert a_year == "cannot be had"
    elif table.final == "published" and table.cost is not None:
        sessions = len(calendar.trading_days(date(2025, 1, 1), date(2025, 12, 31)))
        assert numbers(a_year) == [ceil(sessions / table.cost.days) * stocks]


def numbers(cell: str) -> list[int]:
    return [int(it.replace(",", "")) for it in re.findall(r"\d[\d,]*", cell)]


def test_what_the_virtual_server_lacks_is_named() -> None:
    lacking = {table.name for table in TABLES.values() if table.on_virtual == "lacking"}
    text = OPERATORS.partition("\n## An evening and a morning in requests\n")[2].partition("\n## ")[
        0
    ]
    (said,) = [part for part in text.split("\n\n") if part.startswith("The virtual server")]
    assert lacking <= set(re.findall(r"\w+", said))

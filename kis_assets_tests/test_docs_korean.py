"""Korean pages say what the English ones say: they cannot be told apart by what both must share."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path.name for path in (DOCS / "ko").glob("*.md") if path.name != "index.md")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHARED = {
    "names": re.compile(r"`([^`]+)`"),
    "times, days and large numbers": re.compile(r"\d\d:\d\d|\d{4}-\d\d-\d\d|\d+,\d{3}"),
    "links": re.compile(r"\]\((?:\.\./)?([^)#]*)"),
}
"""What no language changes."""


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    return FENCED.sub("", read(name))


def test_analysts_and_operators_can_read_korean() -> None:
    assert PAGES == ["analysts.md", "operators.md"]


@pytest.mark.parametrize("name", PAGES)
def test_the_code_is_the_same(name: str) -> None:
    assert FENCED.findall(read(f"ko/{name}")) == FENCED.findall(read(name))


@pytest.mark.parametrize("name", PAGES)
def test_headings_and_tables_stand_in_the_same_places(name: str) -> None:
    """What a line begins with: how deep a heading is, a row, an item, something in bold."""

    def shape(text: str) -> list[tuple[str, int]]:
        begins = re.findall(r"^(#+ |\| |- |\*\*)(.*)", text, re.MULTILINE)
        return [(mark, rest.count("|") if mark == "| " else 0) for mark, rest in begins]

    assert shape(prose(f"ko/{name}")) == shape(prose(name))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("what", SHARED)
def test_what_no_language_changes_is_the_same_in_each_section(name: str, what: str) -> None:
    def told(text: str) -> list[Counter[str]]:
        sections = re.split(r"^#+ ", text, flags=re.MULTILINE)
        return [
            Counter(" ".join(it.split()) for it in SHARED[what].findall(part)) for part in sections
        ]

    korean, english = told(prose(f"ko/{name}")), told(prose(name))
    different = [(ko - en, en - ko) for ko, en in zip(korean, english, strict=True) if ko != en]
    assert different == [], "first what only the Korean page has, then what it lacks"


@pytest.mark.parametrize("path", sorted((DOCS / "ko").glob("*.md")), ids=lambda path: path.name)
def test_it_is_korean(path: Path) -> None:
    """Every paragraph, item and row; what a heading or a sentence is made of is not judged."""
    text = re.sub(r"`[^`]*`", "", FENCED.sub("", path.read_text(encoding="utf-8")))
    parts = re.split(r"\n\n|\n(?=[-|] )", text)
    for part in parts:
        words = len(re.findall(r"[A-Za-z]{3,}", part))
        assert words < 12 or re.search(r"[가-힣]{2,}", part), part
    assert not re.search(r"[가-힣]다\.(?<!니다\.)", text), "합니다체, 한다체 mixed"

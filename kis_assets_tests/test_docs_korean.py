"""Korean pages say what the English ones say: they cannot be told apart by what both must share."""

from __future__ import annotations

import re
from collections import Counter
from os.path import normpath
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = {"README.ko.md": "README.md"} | {
    f"docs/ko/{path.name}": f"docs/{path.name}" for path in sorted((ROOT / "docs/ko").glob("*.md"))
}
"""The Korean pages, and the English page of each."""
each_page = pytest.mark.parametrize(("korean", "english"), PAGES.items(), ids=PAGES)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]*)")
SHARED = {
    "names": re.compile(r"`([^`]+)`"),
    "times, days and large numbers": re.compile(r"\d\d:\d\d|\d{4}-\d\d-\d\d|\d+,\d{3}"),
    "links": LINK,
}
"""What no language changes."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(name: str) -> str:
    """A page without its code, each link as a path to the English page."""

    def led(link: re.Match[str]) -> str:
        target = link[1]
        if target and "://" not in target:
            path = normpath((Path(name).parent / target).as_posix())
            target = PAGES.get(path, path)
        return f"]({target}"

    return LINK.sub(led, FENCED.sub("", read(name)))


def told(name: str, what: re.Pattern[str]) -> list[Counter[str]]:
    """How often it stands in each section."""
    sections = re.split(r"^#+ ", prose(name), flags=re.MULTILINE)
    return [Counter(" ".join(it.split()) for it in what.findall(part)) for part in sections]


def test_newcomers_analysts_and_operators_can_read_korean() -> None:
    assert list(PAGES) == ["README.ko.md", "docs/ko/analysts.md", "docs/ko/operators.md"]


@each_page
def test_the_code_is_the_same(korean: str, english: str) -> None:
    assert FENCED.findall(read(korean)) == FENCED.findall(read(english))


@each_page
def test_headings_and_tables_stand_in_the_same_places(korean: str, english: str) -> None:
    """What a line begins with: how deep a heading is, a row, an item, something in bold."""

    def shape(text: str) -> list[tuple[str, int]]:
        begins = re.findall(r"^(#+ |\| |- |\*\*)(.*)", text, re.MULTILINE)
        return [(mark, rest.count("|") if mark == "| " else 0) for mark, rest in begins]

    assert shape(prose(korean)) == shape(prose(english))


@each_page
@pytest.mark.parametrize("what", SHARED)
def test_what_no_language_changes_is_the_same_in_each_section(
    korean: str, english: str, what: str
) -> None:
    both = zip(told(korean, SHARED[what]), told(english, SHARED[what]), strict=True)
    different = [(ko - en, en - ko) for ko, en in both if ko != en]
    assert different == [], "first what only the Korean page has, then what it lacks"


@each_page
def test_no_figure_is_lost(korean: str, english: str) -> None:
    """Korean has more of them than English, and counts millions in ten thousands."""
    figures = re.compile(r"(?<![\d.])(?!\d+\.?\d* million)\d+")
    both = zip(told(korean, figures), told(english, figures), strict=True)
    assert [lost for ko, en in both if (lost := en.keys() - ko.keys())] == []


@each_page
def test_a_korean_page_leads_to_korean_pages(korean: str, english: str) -> None:
    """Where there are some; to its own English page as well."""
    links = {
        normpath((Path(korean).parent / it).as_posix()) for it in LINK.findall(read(korean)) if it
    }
    assert links & set(PAGES.values()) <= {english}


@pytest.mark.parametrize("name", PAGES)
def test_it_is_korean(name: str) -> None:
    """Every paragraph, item and row; what a heading or a sentence is made of is not judged."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", FENCED.sub("", read(name)))
    parts = re.split(r"\n\n|\n(?=[-|] )", text)
    for part in parts:
        words = len(re.findall(r"[A-Za-z]{3,}", part))
        assert words < 12 or re.search(r"[가-힣]{2,}", part), part
    assert not re.search(r"[가-힣]다\.(?<!니다\.)", text), "합니다체, 한다체 mixed"

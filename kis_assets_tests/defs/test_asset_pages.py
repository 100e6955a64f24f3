"""The graph and a page of an asset in a real browser; screenshots go to `test-artifacts`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kis_assets_tests.cli.test_browser import DAY, Browser, browser, ui

pytestmark = pytest.mark.browser
__all__ = ["browser", "ui"]

CODES = "005930,000660,035420"


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's prices and candles in the lake that the UI shows, of a user without the first day."""
    monkeypatch.delenv("KIS_FIRST_DAY")
    environment = os.environ | {
        "DATA_SOURCE_TYPE": "mock",
        "DAGSTER_HOME": str(tmp_path / "home"),
        "KIS_DATA_DIR": str(tmp_path / "data"),
        "KIS_REPLAY_AT": f"{DAY}T20:50+09:00",
        "KIS_STOCK_CODES": CODES,
    }
    words = [word for name in ("price_snapshots", "daily_candles") for word in ("--table", name)]
    done = subprocess.run(
        [sys.executable, "-m", "kis_assets.cli", "run", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def left_of(browser: Browser, *groups: str) -> list[float]:
    """Where the boxes of these groups begin in the graph."""
    found: list[float] = []
    for group in groups:
        box = browser.driver.execute_script(
            """return [...document.querySelectorAll("foreignObject")].filter(
            (it) => it.textContent.trim().startsWith(arguments[0])
            ).map((it) => it.getBoundingClientRect().left)[0]""",
            group,
        )
        found.append(box)
    return found


def test_the_graph_reads_from_left_to_right(browser: Browser) -> None:
    browser.open("/asset-groups")
    story = ("sources", "reference", "candles", "views")
    browser.see("Global asset lineage", *story)
    places = browser.wait(
        lambda: all(it is not None for it in left_of(browser, *story)) and left_of(browser, *story),
        "the groups in the graph",
    )
    browser.shot("graph")
    assert places == sorted(places)
    browser.open("/assets/krx_daily?view=lineage&lineageScope=neighbors")
    browser.see("krx_open_api", "daily_candles", "krx_daily", "dataset_condition")
    browser.shot("graph-krx")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_shows_its_picture_first_and_whole_days(browser: Browser, theme: str) -> None:
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": theme}]},
    )
    browser.open("/assets/daily_candles?view=partitions&partition=2026-03-01")
    browser.see("picture", "preview", "[Show Markdown]", "stock_name")
    shown = browser.driver.execute_script(
        """return [...document.querySelectorAll("td:first-child")].map((it) => it.textContent)"""
    )
    names = [name for name in shown if name in ("MOCK DATA", "picture", "preview", "source")]
    assert names == ["MOCK DATA", "picture", "preview", "source"], json.dumps(shown)
    cells = browser.driver.execute_script(
        """return [...document.querySelectorAll("td td")].map((it) => [
        it.textContent, it.scrollWidth <= it.clientWidth + 1, it.getBoundingClientRect().height,
        it.getBoundingClientRect().right <= innerWidth - 39])"""
    )
    browser.shot(f"page-{theme}")
    days = [cell for cell in cells if cell[0].startswith("2026")]
    numbers = [cell for cell in cells if cell[0].replace(",", "").isdigit()]
    assert days and numbers
    assert {cell[2] for cell in days} <= {cell[2] for cell in numbers}
    assert all(cell[3] for cell in cells)
    browser.click("[Show Markdown]")
    browser.wait(
        lambda: browser.driver.find_elements("css selector", "img[src^='data:image/png']"), "it"
    )
    browser.shot(f"picture-{theme}")

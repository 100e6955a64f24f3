"""The benchmarks run: what they measure decides no test."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.clients import CLIENTS, MODULES
from benchmarks.measure import Line, table
from benchmarks.watch import Watch
from kis_assets_tests.conftest import Clock

SHORT = {
    "stocks": 40, "years": 1, "minute-days": 1, "files": 20, "growth-stocks": 10,
    "peer-stocks": 3, "seconds": 1, "evening-stocks": 4, "starts": 1,
}  # fmt: skip
GROUPS = {
    "writing", "reading", "publishing", "growth with the stocks", "growth with the days",
    "starting", "quotes", "fetching at 18 a second", "fetching without limit", "one process",
    "on one key", "an evening without limit", "streaming",
}  # fmt: skip
WHY_NOT = ("cannot: mojito2 has none", "no redis-server here")
NOT_INSTALLED = "cannot: not installed"


@pytest.mark.slow
def test_a_short_run_measures_every_part(tmp_path: Path) -> None:
    size = [word for name, value in SHORT.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *size, "--out", str(tmp_path)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert {line["group"] for line in found["lines"]} == GROUPS
    for line in found["lines"]:
        if line["value"] is None:
            peer = line["name"].rpartition(": ")[2]
            why = WHY_NOT if peer not in CLIENTS or is_there(peer) else (NOT_INSTALLED,)
            assert line["beside"].startswith(why), line
        else:
            assert math.isfinite(line["value"]), line
    assert "| what | measured |" in (tmp_path / "results.md").read_text("utf-8")


def is_there(client: str) -> bool:
    return find_spec(MODULES[client].partition(".")[0]) is not None


def test_a_process_of_another_client_loads_nothing_of_this_project() -> None:
    asked = "import sys, benchmarks.one_client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"kis_assets", "polars", "duckdb"}


def test_an_aim_is_met_or_missed_and_said() -> None:
    lines = [
        Line("reading", "fast", 10.0, aim=40.0),
        Line("reading", "slow", 50.0, aim=40.0, beside="SQLite 3"),
        Line("writing", "rows", 5.0, "rows/s", aim=4.0),
        Line("peers", "books", None, aim=4.0, beside="cannot: it has none"),
    ]
    assert [line.verdict for line in lines] == ["met", "missed", "met", ""]
    assert "| slow | 50 ms | 40 | missed | SQLite 3 |" in table(lines, {"date": "today"})
    assert "| books | none | 4 |  | cannot: it has none |" in table(lines, {"date": "today"})


def test_what_stands_beside_has_its_ratio() -> None:
    line = Line("reading", "one day", 30.0, beside="pandas is not there", others={"SQLite": 1.5})
    assert line.said == "SQLite 1.5 (×20); pandas is not there"


def test_the_watch_counts_what_is_within_another_part_once() -> None:
    now = Clock(0.0)
    watch = Watch(now)
    now.now += 1
    with watch.part("store"):
        now.now += 2
        with watch.part("publish"):
            now.now += 4
        now.now += 8
    with watch.part("fetch"):
        now.now += 16
        watch.client(10)  # in threads of its own
    spent = dict(client=10, decode=6, store=10, check=0, publish=4)
    assert watch.take() == spent | {"the rest": 1}
    assert sum(watch.take().values()) == 0

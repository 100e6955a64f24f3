"""The benchmarks run: what they measure decides no test."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import Line, table


@pytest.mark.slow
def test_a_short_run_measures_every_part(tmp_path: Path) -> None:
    size = ["--stocks", "40", "--years", "1", "--minute-days", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *size],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    groups = {line["group"] for line in found["lines"]}
    assert groups >= {"writing", "reading", "starting", "quotes", "fetching at 18 a second"}
    assert all(math.isfinite(line["value"]) and line["value"] > 0 for line in found["lines"])
    assert "| what | measured |" in (tmp_path / "results.md").read_text("utf-8")


def test_an_aim_is_met_or_missed_and_said() -> None:
    lines = [
        Line("reading", "fast", 10.0, aim=40.0),
        Line("reading", "slow", 50.0, aim=40.0, beside="SQLite 3"),
        Line("writing", "rows", 5.0, "rows/s", aim=4.0),
    ]
    assert [line.verdict for line in lines] == ["met", "missed", "met"]
    assert "| slow | 50 ms | 40 | missed | SQLite 3 |" in table(lines, {"date": "today"})

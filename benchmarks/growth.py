"""How each thing grows with what there is: at once, twice and four times the stocks or days.

The factor beside four times the work says it: 1 is no growth, 4 is as the work, more is worse.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks import big_lake
from benchmarks.measure import Line, median
from benchmarks.reading import OF_VIEWS, QUERIES
from kis_assets.monitoring.status import snapshot
from kis_assets.settings import Settings

TIMES = (1, 2, 4)


def grow(folder: Path, stocks: int, years: int, minute_days: int) -> list[Line]:
    """Writing, publishing, reading and status by the number of stocks, then by that of days."""
    _measured(folder, 10, 1, 1)  # what is loaded and compiled at first use is no growth
    first = _measured(folder, stocks, years, minute_days)
    ways: dict[str, Callable[[int], dict[str, float]]] = {
        "stocks": lambda n: _measured(folder, stocks * n, years, minute_days),
        "days": lambda n: _measured(folder, stocks, years * n, minute_days * n),
    }
    lines: list[Line] = []
    for what, way in ways.items():
        found = [first, *(way(times) for times in TIMES[1:])]
        for name in first:
            taken = [it[name] for it in found]
            told = ", ".join(f"{value:,.4g}" for value in taken)
            slope = math.log(taken[-1] / taken[0]) / math.log(TIMES[-1])
            lines.append(
                Line(
                    f"growth with the {what}", name, taken[-1] / taken[0],
                    f"times as long for {TIMES[-1]} times",
                    beside=f"slope {slope:.2f}; at 1, 2 and 4 times {told} ms",
                )
            )  # fmt: skip
    return lines


def _measured(folder: Path, stocks: int, years: int, minute_days: int) -> dict[str, float]:
    """Milliseconds of each, in a lake of this size."""
    lake = folder / "data" / "mock"
    built = big_lake.build(lake, stocks, years, minute_days)
    found = {"writing days": built.days_seconds * 1000}
    found |= {"writing minutes": built.minutes_seconds * 1000}
    found |= {"publishing": built.publish_seconds * 1000}
    with duckdb.connect(lake / "market.duckdb", read_only=True) as catalog:
        asked = {name: query.format(table="daily_candles") for name, (query, *_) in QUERIES.items()}
        for name, query in (asked | {name: query for name, (query, _) in OF_VIEWS.items()}).items():
            found[name] = median(lambda query=query: catalog.sql(query).pl(), 3)
    settings = Settings.load(data_source_type="mock", kis_data_dir=folder / "data")
    found["status"] = median(lambda: snapshot(settings), 3)
    shutil.rmtree(folder / "data")
    return found

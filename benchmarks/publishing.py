"""Publishing over thousands of files: when one of them changed, and when none did."""

from __future__ import annotations

import statistics
import time
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from benchmarks.invented_rows import LAST, minutes_of
from benchmarks.measure import Line, median
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import MINUTE_CANDLES

GROUP = "publishing"


def publish(folder: Path, files: int) -> list[Line]:
    """Days of one minute each, as many as there are to be files, and what publishing them takes."""
    lake, days = Lake(folder, source="mock"), calendar.trading_days(calendar.FIRST_DAY, LAST)
    days = days[-files:]
    taken: list[float] = []
    for day in days:
        taken.append(_write(lake, day, 1_000))
    lines = [Line(GROUP, f"writing a file, the median of {len(days):,}", statistics.median(taken))]
    began = time.perf_counter()
    lake.publish(only_if_stale=True)
    lines.append(Line(GROUP, "the first publish", (time.perf_counter() - began) * 1000))
    there = len(list((folder / "parquet").rglob("*.parquet")))
    of = f"{there:,} files"
    changed: list[float] = []
    for price in range(2_000, 2_005):
        _write(lake, days[-1], price)
        began = time.perf_counter()
        lake.publish(only_if_stale=True)
        changed.append((time.perf_counter() - began) * 1000)
    none = median(lambda: lake.publish(only_if_stale=True))
    one = statistics.median(changed)
    healed = median(lake.publish, 3)
    lines += [
        Line(GROUP, f"one of {of} changed", one, others={"none changed": none}),
        Line(GROUP, f"none of {of} changed", none),
        Line(GROUP, f"all of {of} looked at and made anew", healed, others={"one changed": one}),
    ]
    with duckdb.connect(folder / "market.duckdb", read_only=True) as catalog:
        asked = f"FROM minute_candles WHERE trading_day = DATE '{days[-1]}'"
        taken_day = median(lambda: catalog.sql(asked).pl())
    return [*lines, Line(GROUP, f"one day of {of}, asked for", taken_day)]


def _write(lake: Lake, day: date, price: int) -> float:
    rows: pl.DataFrame = minutes_of(["000010"], day, np.array([price])).head(1)
    began = time.perf_counter()
    lake.replace(MINUTE_CANDLES, Scope.day(day), rows, publish=False)
    return (time.perf_counter() - began) * 1000

"""A lake of the size people have: days of many years, minutes of some days."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.invented_rows import FETCHED, LAST, days_of, filled, minutes_of
from benchmarks.measure import Line, median
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, MINUTE_CANDLES, STOCK_MASTER, Table

PLAIN = "Polars' write_parquet alone"


@dataclass
class Built:
    """How much was written, and how long that took."""

    days: int = 0
    days_seconds: float = 0.0
    days_plain: float = 0.0
    """Rows a second that Polars writes of the same kind, without looking at what is there."""
    days_bytes: int = 0
    minutes: int = 0
    minutes_seconds: float = 0.0
    minutes_plain: float = 0.0
    publish_seconds: float = 0.0

    def lines(self) -> list[Line]:
        """As lines of the table."""
        lines = [
            Line(
                "writing", f"daily candles, {self.days:,} rows", self.days / self.days_seconds,
                "rows/s", others={PLAIN: self.days_plain},
            ),
            Line("writing", "daily candles on disk", self.days_bytes / self.days, "bytes/row"),
        ]  # fmt: skip
        if self.minutes:
            lines.append(
                Line(
                    "writing", f"minutes, {self.minutes:,} rows",
                    self.minutes / self.minutes_seconds, "rows/s",
                    others={PLAIN: self.minutes_plain},
                )
            )  # fmt: skip
        name = "publishing with all factors made"
        return [*lines, Line("writing", name, self.publish_seconds * 1000)]


def build(folder: Path, stocks: int, years: int, minute_days: int) -> Built:
    """Write it; how fast the lake was, without the making of the rows."""
    lake, chance, built = Lake(folder, source="mock"), np.random.default_rng(0), Built()

    def write(table: Table, scope: Scope, rows: pl.DataFrame) -> float:
        began = time.perf_counter()
        lake.replace(table, scope, rows, publish=False)
        return time.perf_counter() - began

    codes = [f"{number:06d}" for number in range(10, 10 + 10 * stocks, 10)]
    first = LAST.replace(year=LAST.year - years + 1, month=1, day=1)
    days = calendar.trading_days(max(first, calendar.FIRST_DAY), LAST)
    walk = np.cumsum(chance.normal(0, 0.02, (stocks, len(days))), axis=1)
    close = np.maximum(500, (10_000 * np.exp(walk)).round()).astype(np.int64)
    for month in sorted({day.replace(day=1) for day in days}):
        places = [n for n, day in enumerate(days) if day.replace(day=1) == month]
        rows = days_of(codes, days, close, places)
        built.days_seconds += write(DAILY_CANDLES, Scope.month(month), rows)
        built.days += rows.height
        if month.month == LAST.month:
            built.days_plain = _plain(folder, rows)
    built.days_bytes = sum(path.stat().st_size for path in (folder / "parquet").rglob("*.parquet"))
    for day in days[-minute_days:]:
        rows = minutes_of(codes, day, close[:, days.index(day)])
        built.minutes_seconds += write(MINUTE_CANDLES, Scope.day(day), rows)
        built.minutes += rows.height
        if day == LAST:
            built.minutes_plain = _plain(folder, rows)
    names = pl.DataFrame({"stock_code": codes}).with_columns(
        trading_day=pl.lit(LAST), isin=pl.lit("KR7000010009"), stock_name="stock_code",
        market=pl.lit("KOSPI"), security_type=pl.lit("common"), security_group=pl.lit("ST"),
        listed_shares=pl.lit(10**7), source=pl.lit("mock"), fetched_at=pl.lit(FETCHED),
    )  # fmt: skip
    write(STOCK_MASTER, Scope.day(LAST), filled(STOCK_MASTER, names))
    opened = pl.DataFrame({"day": days[-240:]}).with_columns(
        is_open=pl.lit(value=True), source=pl.lit("mock"), fetched_at=pl.lit(FETCHED)
    )
    opened = opened.filter(pl.col("day").dt.year() == LAST.year)
    write(MARKET_DAYS, Scope.year(LAST.year), filled(MARKET_DAYS, opened))
    began = time.perf_counter()
    lake.publish(only_if_stale=True)
    built.publish_seconds = time.perf_counter() - began
    return built


def _plain(folder: Path, rows: pl.DataFrame) -> float:
    """Rows a second into one file that is deleted again."""
    path = folder / "plain.parquet"
    taken = median(lambda: rows.write_parquet(path), 3)
    path.unlink()
    return rows.height / (taken / 1000)

"""A lake of the size people have, out of random walks: days of many years, minutes of some days."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.measure import Line
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, MINUTE_CANDLES, STOCK_MASTER, Table

LAST = date(2025, 12, 30)
MINUTES = 380
FETCHED = datetime(2025, 12, 31, tzinfo=UTC)


def _filled(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """All columns of a table; what rows do not say is null, empty or zero."""
    blank = {pl.String: "", pl.Int64: 0, pl.Float64: 0.0, pl.Boolean: True}
    more = [
        pl.lit(None if column.nullable else blank.get(column.dtype.base_type()))
        .cast(column.dtype)
        .alias(column.name)
        for column in table.columns
        if column.name not in rows.columns
    ]
    return rows.with_columns(more).select(table.schema.names()).cast(dict(table.schema))


@dataclass
class Built:
    """How much was written, and how long that took."""

    days: int = 0
    days_seconds: float = 0.0
    days_bytes: int = 0
    minutes: int = 0
    minutes_seconds: float = 0.0
    publish_seconds: float = 0.0

    def lines(self) -> list[Line]:
        """As lines of the table."""
        lines = [
            Line("writing", f"daily candles, {self.days:,} rows", self.days / self.days_seconds,
                 "rows/s"),
            Line("writing", "daily candles on disk", self.days_bytes / self.days, "bytes/row"),
        ]  # fmt: skip
        if self.minutes:
            speed = self.minutes / self.minutes_seconds
            lines.append(Line("writing", f"minutes, {self.minutes:,} rows", speed, "rows/s"))
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
        rows = _days(codes, days, close, places)
        built.days_seconds += write(DAILY_CANDLES, Scope.month(month), rows)
        built.days += rows.height
    built.days_bytes = sum(path.stat().st_size for path in (folder / "parquet").rglob("*.parquet"))
    for day in days[-minute_days:]:
        rows = minutes_of(codes, day, close[:, days.index(day)])
        built.minutes_seconds += write(MINUTE_CANDLES, Scope.day(day), rows)
        built.minutes += rows.height
    names = pl.DataFrame({"stock_code": codes}).with_columns(
        trading_day=pl.lit(LAST), isin=pl.lit("KR7000010009"), stock_name="stock_code",
        market=pl.lit("KOSPI"), security_type=pl.lit("common"), security_group=pl.lit("ST"),
        listed_shares=pl.lit(10**7), source=pl.lit("mock"), fetched_at=pl.lit(FETCHED),
    )  # fmt: skip
    write(STOCK_MASTER, Scope.day(LAST), _filled(STOCK_MASTER, names))
    opened = pl.DataFrame({"day": days[-240:]}).with_columns(
        is_open=pl.lit(value=True), source=pl.lit("mock"), fetched_at=pl.lit(FETCHED)
    )
    opened = opened.filter(pl.col("day").dt.year() == LAST.year)
    write(MARKET_DAYS, Scope.year(LAST.year), _filled(MARKET_DAYS, opened))
    began = time.perf_counter()
    lake.publish(only_if_stale=True)
    built.publish_seconds = time.perf_counter() - began
    return built


def _days(codes: list[str], days: list[date], close: np.ndarray, places: list[int]) -> pl.DataFrame:
    now = close[:, places]
    before = close[:, [max(0, place - 1) for place in places]]
    count = len(places)
    rows = pl.DataFrame({
        "stock_code": np.repeat(codes, count),
        "trading_day": [days[place] for place in places] * len(codes),
        "close": now.ravel(), "open": before.ravel(),
        "high": np.maximum(now, before).ravel(), "low": np.minimum(now, before).ravel(),
        "base_price": before.ravel(), "change": (now - before).ravel(),
        "volume": (now.ravel() * 7) % 100_000 + 1,
    })  # fmt: skip
    # One stock in fifty is split in a month: its base price lies at a fifth of the close before.
    is_split = (pl.col("trading_day") == days[places[-1]]) & (
        pl.col("stock_code").hash(days[places[0]].toordinal()) % 50 == 0
    )
    return _filled(DAILY_CANDLES, rows.with_columns(
        trading_value=pl.col("volume") * pl.col("close"),
        base_price=pl.when(is_split).then(pl.col("base_price") // 5).otherwise("base_price"),
        ex_flag=pl.lit("00"), revaluation=pl.lit("00"), split_ratio=pl.lit(0.0),
        source=pl.lit("mock"), fetched_at=pl.lit(FETCHED),
    ))  # fmt: skip


def minutes_of(codes: list[str], day: date, close: np.ndarray) -> pl.DataFrame:
    """Rows of `minute_candles` of a day, at one price for each stock."""
    opens = datetime.combine(day, datetime.min.time(), UTC)
    starts = [opens + timedelta(minutes=number) for number in range(MINUTES)]
    prices = np.repeat(close, MINUTES)
    rows = pl.DataFrame({
        "stock_code": np.repeat(codes, MINUTES), "started_at": starts * len(codes),
        "open": prices, "high": prices + 10, "low": prices - 10, "close": prices,
        "volume": (prices * 3) % 977 + 1,
    })  # fmt: skip
    return _filled(MINUTE_CANDLES, rows.with_columns(
        trading_day=pl.lit(day), session=pl.lit("regular"),
        trading_value=pl.col("volume") * pl.col("close"),
        source=pl.lit("mock"), fetched_at=pl.lit(FETCHED),
    ))  # fmt: skip

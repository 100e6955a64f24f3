"""Queries of the lake, and the same rows asked of native DuckDB, SQLite and pandas."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.invented_rows import LAST
from benchmarks.measure import Line, median
from benchmarks.others import Others
from kis_assets import Market
from kis_assets.lake.lake import Lake

STOCK = "000100"
MOMENTUM = (
    "SELECT stock_code, arg_max(close, trading_day) / nullif(arg_min(close, trading_day), 0) "
    "FROM {table} GROUP BY stock_code"
)
QUERIES = {
    "one stock, all days": (
        f"SELECT * FROM {{table}} WHERE stock_code = '{STOCK}' ORDER BY trading_day",
        40.0, {"stock_code": STOCK}),
    "all stocks, one day": (
        f"SELECT * FROM {{table}} WHERE trading_day = DATE '{LAST}'",
        15.0, {"trading_day": str(LAST)}),
    "momentum of all stocks, raw": (MOMENTUM, 1_000.0, {}),
}  # fmt: skip
OF_VIEWS = {
    "one stock, all days, adjusted": (
        f"SELECT * FROM daily_candles_adjusted WHERE stock_code = '{STOCK}' ORDER BY 1", 60.0),
    "all stocks, one day, adjusted": (
        f"SELECT * FROM daily_candles_adjusted WHERE trading_day = DATE '{LAST}'", 60.0),
    "momentum of all stocks, adjusted": (MOMENTUM.format(table="daily_candles_adjusted"), 1_500.0),
    "weekly bars of one stock": (
        f"SELECT * FROM weekly_candles WHERE stock_code = '{STOCK}' ORDER BY 1", 60.0),
    "one stock, all minutes": (
        f"SELECT * FROM minute_candles WHERE stock_code = '{STOCK}' ORDER BY started_at", 200.0),
    "facts of all stocks": ("SELECT * FROM facts", None),
}  # fmt: skip


def _small_files(catalog: Path) -> dict[str, dict[str, float]]:
    """What the queries take before closed units lie in larger files."""
    with duckdb.connect(catalog, read_only=True) as lake:
        return {
            name: {
                "small files": median(lambda q=q: lake.sql(q.format(table="daily_candles")).pl())
            }
            for name, (q, *_) in QUERIES.items()
        }


def read(folder: Path, scratch: Path) -> list[Line]:
    """All queries, each beside the same rows elsewhere."""
    lines: list[Line] = []
    catalog = folder / "market.duckdb"
    opened = median(lambda: duckdb.connect(catalog, read_only=True).close())
    lines.append(Line("reading", "opening market.duckdb", opened, aim=50.0))
    before = _small_files(catalog)
    began = time.perf_counter()
    made = Lake(folder, source="mock").maintain()["larger_files"]
    taken = time.perf_counter() - began
    lines.append(Line("reading", "closed units into larger files", taken, "s", beside=f"{made}"))
    with duckdb.connect(catalog, read_only=True) as lake:
        others = Others(lake, scratch)
        for name, (query, aim, wanted) in QUERIES.items():
            taken = median(lambda query=query: lake.sql(query.format(table="daily_candles")).pl())
            beside = before[name] | others.ask(query, wanted, csv=bool(wanted))
            lines.append(
                Line("reading", name, taken, aim=aim, others=beside, beside=others.why_no_pandas)
            )
        others.close()
        for name, (query, aim) in OF_VIEWS.items():
            lines.append(Line("reading", name, median(lambda q=query: lake.sql(q).pl()), aim=aim))
    with Market(folder) as market:
        market.sql("SELECT 1")
        calls: dict[str, tuple[Callable[[], object], float]] = {
            "Market().daily_candles of one stock": (lambda: market.daily_candles(STOCK), 60.0),
            "Market().daily_candles, adjusted": (
                lambda: market.daily_candles(STOCK, adjusted=True), 60.0),
        }  # fmt: skip
        lines += [Line("reading", name, median(ask), aim=aim) for name, (ask, aim) in calls.items()]
    return lines

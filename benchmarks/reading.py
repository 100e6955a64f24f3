"""Queries of the lake, and the same over a native DuckDB table, SQLite, and pandas."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.big_lake import LAST
from benchmarks.measure import Line, median
from kis_assets import Market

STOCK = "000100"
MOMENTUM = (
    "SELECT stock_code, arg_max(close, trading_day) / nullif(arg_min(close, trading_day), 0) "
    "FROM {table} GROUP BY stock_code"
)
QUERIES = {
    "one stock, ten years of days": (
        f"SELECT * FROM {{table}} WHERE stock_code = '{STOCK}' ORDER BY trading_day", 40.0),
    "all stocks, one day": (f"SELECT * FROM {{table}} WHERE trading_day = DATE '{LAST}'", 15.0),
    "momentum of all stocks, raw": (MOMENTUM, 1_000.0),
}  # fmt: skip
OF_VIEWS = {
    "one stock, ten years adjusted": (
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


def read(folder: Path, scratch: Path) -> list[Line]:
    """All queries, each beside the same rows elsewhere."""
    lines: list[Line] = []
    catalog = folder / "market.duckdb"
    opened = median(lambda: duckdb.connect(catalog, read_only=True).close())
    lines.append(Line("reading", "opening market.duckdb", opened, aim=50.0))
    others = _others(folder, scratch)
    with duckdb.connect(catalog, read_only=True) as lake:
        for name, (query, aim) in QUERIES.items():
            taken = median(lambda query=query: lake.sql(query.format(table="daily_candles")).pl())
            beside = {
                other: median(lambda it=ask, q=query: it(q), 3) for other, ask in others.items()
            }
            said = ", ".join(f"{other} {value:,.1f}" for other, value in beside.items())
            lines.append(Line("reading", name, taken, aim=aim, beside=said))
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


def _others(folder: Path, scratch: Path) -> dict[str, Callable[[str], object]]:
    """The same daily rows in a native DuckDB table and in SQLite: what asks them."""
    glob = folder / "parquet" / "daily_candles" / "*.parquet"
    native = duckdb.connect(scratch / "native.duckdb")
    native.execute(
        f"CREATE OR REPLACE TABLE candles AS FROM read_parquet('{glob}', "
        "hive_partitioning = false) ORDER BY stock_code, trading_day"
    )
    lite = sqlite3.connect(scratch / "rows.sqlite")
    lite.execute("DROP TABLE IF EXISTS candles")
    lite.execute("CREATE TABLE candles (stock_code TEXT, trading_day TEXT, close INTEGER)")
    rows = native.sql("SELECT stock_code, trading_day::VARCHAR, close FROM candles").fetchall()
    lite.executemany("INSERT INTO candles VALUES (?, ?, ?)", rows)
    lite.execute("CREATE INDEX by_stock ON candles (stock_code, trading_day)")
    lite.execute("CREATE INDEX by_day ON candles (trading_day)")
    lite.commit()

    def ask_lite(query: str) -> object:
        if "arg_max" in query:
            # SQLite gives the other columns of the row that has the one maximum or minimum.
            return lite.execute(
                "SELECT a.stock_code, a.close * 1.0 / b.close FROM (SELECT stock_code, close, "
                "max(trading_day) FROM candles GROUP BY stock_code) a JOIN (SELECT stock_code, "
                "close, min(trading_day) FROM candles GROUP BY stock_code) b USING (stock_code)"
            ).fetchall()
        return lite.execute(query.format(table="candles").replace("DATE ", "")).fetchall()

    return {
        "native DuckDB": lambda query: native.sql(query.format(table="candles")).pl(),
        "SQLite": ask_lite,
    }

"""The same daily rows elsewhere: a native DuckDB table, SQLite, pandas over Parquet and CSV.

SQLite and the CSV have eight of the columns, the others all. pandas runs in a process of its own,
and only where it is installed.
"""

from __future__ import annotations

import sqlite3
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import alone, median

COLUMNS = "stock_code, trading_day, open, high, low, close, volume, trading_value"
AS_TEXT = COLUMNS.replace("trading_day", "trading_day::VARCHAR")
PANDAS = "pandas over Parquet", "pandas over CSV of 8 columns"


class Others:
    """The rows of a catalog's `daily_candles`, copied into a folder in each form."""

    def __init__(self, catalog: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._parquet, self._csv = folder / "rows.parquet", folder / "rows.csv"
        rows = "(FROM daily_candles ORDER BY stock_code, trading_day)"
        catalog.execute(f"COPY {rows} TO '{self._parquet}' (FORMAT parquet)")
        self._native = duckdb.connect(folder / "native.duckdb")
        self._native.execute(
            f"CREATE OR REPLACE TABLE candles AS FROM read_parquet('{self._parquet}')"
        )
        self._lite = sqlite3.connect(folder / "rows.sqlite")
        self._lite.execute("DROP TABLE IF EXISTS candles")
        self._lite.execute(f"CREATE TABLE candles ({COLUMNS})")
        found = self._native.execute(f"SELECT {AS_TEXT} FROM candles")
        while some := found.fetchmany(100_000):
            self._lite.executemany("INSERT INTO candles VALUES (?, ?, ?, ?, ?, ?, ?, ?)", some)
        self._lite.execute("CREATE INDEX by_stock ON candles (stock_code, trading_day)")
        self._lite.execute("CREATE INDEX by_day ON candles (trading_day)")
        self._lite.commit()
        self.why_no_pandas = "" if find_spec("pandas") else "pandas is not installed; make bench"

    def ask(self, query: str, wanted: dict[str, str], *, csv: bool) -> dict[str, float]:
        """Milliseconds that each takes.

        Args:
            query: in SQL, with `{table}` for the table.
            wanted: what pandas looks for: the value of a column; empty for the momentum.
            csv: whether pandas is to read the CSV too, whole and once.
        """
        native, lite = query.format(table="candles"), _of_lite(query)
        found = {
            "native DuckDB": median(lambda: self._native.sql(native).pl(), 3),
            "SQLite of 8 columns": median(lambda: self._lite.execute(lite).fetchall(), 3),
        }
        if self.why_no_pandas:
            return found
        found[PANDAS[0]] = alone(_of_parquet, self._parquet, wanted)
        if csv:
            if not self._csv.exists():
                self._native.execute(
                    f"COPY (SELECT {COLUMNS} FROM candles) TO '{self._csv}' (HEADER)"
                )
            found[PANDAS[1]] = alone(_of_csv, self._csv, wanted)
        return found

    def close(self) -> None:
        """Let go of the files."""
        self._native.close()
        self._lite.close()


def _of_lite(query: str) -> str:
    if "arg_max" in query:
        # SQLite gives the other columns of the row that has the one maximum or minimum.
        return (
            "SELECT a.stock_code, a.close * 1.0 / b.close FROM (SELECT stock_code, close, "
            "max(trading_day) FROM candles GROUP BY stock_code) a JOIN (SELECT stock_code, "
            "close, min(trading_day) FROM candles GROUP BY stock_code) b USING (stock_code)"
        )
    return query.format(table="candles").replace("DATE ", "")


def _of_parquet(path: Path, wanted: dict[str, str]) -> float:
    import pandas as pd

    def ask() -> Any:
        if wanted:
            ((name, value),) = wanted.items()
            sought: Any = pd.Timestamp(value).date() if name == "trading_day" else value
            return pd.read_parquet(path, filters=[(name, "==", sought)])
        rows = pd.read_parquet(path, columns=["stock_code", "close"])
        closes = rows.groupby("stock_code")["close"]  # the file is sorted
        return closes.last() / closes.first()

    return median(ask, 3)


def _of_csv(path: Path, wanted: dict[str, str]) -> float:
    import pandas as pd

    ((name, value),) = wanted.items()
    began = time.perf_counter()
    rows = pd.read_csv(path, dtype={"stock_code": str})
    rows = rows[rows[name] == value]
    return (time.perf_counter() - began) * 1000

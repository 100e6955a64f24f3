"""How a question about stored rows is asked, and what is said of what is not there.

What `Market` stands on: its methods name views, these turn words into codes and days, choose
columns, and judge what came back.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kis_assets.exchange.days import When, span
from kis_assets.exchange.venues import mark_of
from kis_assets.lake import naming, queries
from kis_assets.lake.origin import say_once, source_of
from kis_assets.lake.queries import Rows
from kis_assets.lake.reader import (
    CatalogReader,
    Give,
    NotStored,
    SurvivorshipWarning,
    missing,
    spans,
    warn_caller,
)

if TYPE_CHECKING:
    import polars as pl

    Frame = pl.DataFrame

T = TypeVar("T")
Code = str | int
Codes = Code | Iterable[Code] | None
Columns = str | Iterable[str] | None


class StoredRows:
    """The rows of one folder. Thread-safe; nothing is opened before the first question."""

    def __init__(self, folder: Path, replay_at: datetime | None) -> None:
        self._catalog = CatalogReader(folder, replay_at)

    def __repr__(self) -> str:
        mark = self.source and mark_of(self.source)
        return f"{type(self).__name__}({str(self.folder)!r})" + (f" - {mark}" if mark else "")

    @cached_property
    def source(self) -> str:
        """Where the rows come from, as in their column `source`; empty where nobody knows."""
        return source_of(self._catalog)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._catalog.folder

    def rows(self, query: str, *params: object) -> Rows:
        """Column names and plain rows of one query, instants in Seoul; needs no Polars."""
        return self._ask(query, params, queries.as_rows)

    def units(self, table: str) -> list[str]:
        """The days, months or years of a table that are stored, oldest first, as ISO text."""
        return self._catalog.units(table)

    def code(self, stock: Code) -> str:
        """The code of a stock that is given by its code, its name or a part only it has.

        Raises:
            NotStored: nothing fits, or several do; it names the nearest.
            TypeError: it is neither a text nor a whole number.
        """
        with self.needing("stock_master"):
            return naming.code_of(self.rows, stock)

    def _ask(
        self, query: str, params: Sequence[object], give: Give[T], as_of: datetime | None = None
    ) -> T:
        found = self._catalog.ask(query, params, give, as_of)
        if mark := mark_of(self.source) if self.source else "":
            say_once(mark, self.folder)
        return found

    def _rows(
        self,
        view: str,
        codes: Codes,
        start: When,
        end: When,
        columns: Columns,
        as_of: datetime | None = None,
    ) -> Frame:
        first, last = span(start, end)
        wanted = self._codes(codes)
        rows, chosen = self._frame(view, wanted, first, last, "stock_code", columns, as_of)
        if as_of is None:
            self._judge(view, set(rows["stock_code"].unique()), wanted, first, last)
        return rows.select(chosen)

    def _figures(
        self,
        table: str,
        wanted: list[str] | None,
        start: When,
        end: When,
        subject: str,
        columns: Columns,
        as_of: datetime | None = None,
    ) -> Frame:
        """Rows of a table in which a stock may be missing for good reasons, or that is by none."""
        first, last = span(start, end)
        rows, chosen = self._frame(table, wanted, first, last, subject, columns, as_of)
        if subject != "stock_code":
            self._judge_figures(table, first, last, is_empty=rows.is_empty())
        elif rows.is_empty():
            self._require(table)
        return rows.select(chosen)

    def _judge_figures(
        self, table: str, first: date | None, last: date | None, *, is_empty: bool
    ) -> None:
        """As `_judge`, of a table whose files hold a year: its months are those that have rows."""
        month = "strftime(trading_day, '%Y-%m')"
        _, found = self.rows(f"SELECT DISTINCT {month} FROM {table} ORDER BY 1")  # noqa: S608
        absent = missing(table, [name for (name,) in found], first, last)
        _warn_absent(table, absent, is_all=is_empty and bool(absent or not found))

    def _frame(
        self,
        view: str,
        wanted: list[str] | None,
        first: date | None,
        last: date | None,
        subject: str,
        columns: Columns,
        as_of: datetime | None,
    ) -> tuple[Frame, list[str]]:
        """The rows with their subject, and which columns of them were asked for.

        Raises:
            ValueError: the view lacks one of the columns; it names those that it has.
        """
        chosen = None if columns is None else _names(columns)
        query = queries.rows_of(view, wanted, first, last, subject, chosen)
        import duckdb

        give = queries.as_frame
        try:
            with self.needing(queries.made_of(view)[0], first, last):
                rows = self._ask(query, (), give, as_of)
        except duckdb.BinderException as error:
            known = self._ask(f"FROM {view} LIMIT 0", (), give, as_of).columns
            unknown = [name for name in chosen or () if name not in known]
            if not unknown:
                raise
            raise ValueError(
                f"there is no column {unknown[0]!r}; there are {', '.join(known)}"
            ) from error
        return rows, rows.columns if chosen is None else chosen

    @contextmanager
    def needing(self, table: str, first: When = None, last: When = None) -> Generator[None]:
        """Name what fetches this very table, where nothing at all is stored."""
        try:
            yield
        except NotStored:
            if (self.folder / "market.duckdb").exists():
                raise
            absent = missing(table, [], *span(first, last))
            how = queries.remedy(table, absent)
            raise NotStored(f"nothing is stored in {self.folder} yet; {how}") from None

    def _require(self, table: str) -> None:
        """Say that a table has no row, where it has none at all."""
        if not self._catalog.units(table):
            raise NotStored(f"no {table} at all are stored yet; {queries.remedy(table, [])}")

    def _codes(self, codes: Codes) -> list[str] | None:
        if codes is None:
            return None
        # What is neither is refused as a code.
        given: Any = codes
        is_one = isinstance(given, str | bytes) or not isinstance(given, Iterable)
        several: list[Any] = [given] if is_one else list(given)
        if not several:
            raise ValueError("no stock code is given; None stands for all")
        return list(dict.fromkeys(self.code(stock) for stock in several))

    def _judge(
        self,
        view: str,
        found: set[str],
        wanted: list[str] | None,
        first: date | None,
        last: date | None,
    ) -> None:
        """Say what is not there: an error when that is all that was asked for, else a warning."""
        table, clock = queries.made_of(view)
        units = self._catalog.units(table)
        absent = missing(table, units, first, last)
        if not found and (absent or not units):
            _warn_absent(table, absent, is_all=True)
        without = sorted(set(wanted or ()) - found)
        for code in without:
            if not self._is_known(code):
                near = naming.nearest_to(self.rows, code)
                raise NotStored(f"no stock has the code {code}{near}")
        if without:
            warn_caller(f"{', '.join(without[:5])}: no {table} in what is stored of these days")
        if wanted is None and clock == "trading_day":
            self._warn_of_survivors(table, units, first)
        _warn_absent(table, absent, is_all=False)
        if view.endswith("_adjusted") or view == "total_return":
            self._warn_of_gaps(table, units, first)

    def _warn_of_gaps(self, table: str, units: list[str], first: date | None) -> None:
        """Say so where a split could lie in a month between the rows and the newest stored one."""
        gaps = missing(table, units, first or date.fromisoformat(f"{units[0]}-01"), None)
        if gaps:
            warn_caller(
                f"a split in {spans(gaps)} would not be known, since no {table} of it are stored: "
                f"adjusted prices before it may be wrong; {queries.remedy(table, gaps)}"
            )

    def _warn_of_survivors(self, table: str, units: list[str], first: date | None) -> None:
        """Say so where nobody knows which stocks were listed when a frame of all begins."""
        known = self._catalog.units("stock_master")
        begins = str(first) if first else units[0]
        if known and begins[:7] < known[0][:7]:
            text = (
                f"{table} before {known[0]} are of the stocks that were listed later: what was "
                "delisted is missing, and results look better than they were. KRX knows: "
                "KRX_API_KEY, docs/krx.md"
            )
            warn_caller(text, SurvivorshipWarning)

    def _is_known(self, code: str) -> bool:
        # Without any master nobody can say that a code is wrong.
        query = "SELECT count(*) = 0 OR bool_or(stock_code = ?) FROM stock_master"
        return bool(self.rows(query, code)[1][0][0])


def _names(columns: str | Iterable[str]) -> list[str]:
    """Names of columns, given with commas between or one by one."""
    listed = columns.split(",") if isinstance(columns, str) else columns
    names = list(dict.fromkeys(name.strip() for name in listed))
    if not names or not all(names):
        raise ValueError("columns names no column; None stands for all")
    return names


def _warn_absent(table: str, absent: list[tuple[str, str]], *, is_all: bool) -> None:
    """Say which spans of a table are not stored and what fetches them; `is_all` that was asked for.

    Raises:
        NotStored: all of it.
    """
    what = f" of {spans(absent)}" if absent else " at all"
    if is_all:
        raise NotStored(f"no {table}{what} are stored yet; {queries.remedy(table, absent)}")
    if absent:
        warn_caller(f"no {table}{what} are stored; {queries.remedy(table, absent)}")

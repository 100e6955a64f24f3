"""How a question about stored rows is asked, and what is said of what is not there.

What `Market` stands on: its methods name views, these turn words into codes and days, choose
columns, and judge what came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kis_assets.exchange.days import When, span
from kis_assets.lake import naming, queries, remedies
from kis_assets.lake.queries import Rows
from kis_assets.lake.reader import Give, NotStored, SurvivorshipWarning, missing, spans, warn_caller
from kis_assets.lake.stored_files import StoredFiles, warn_absent

if TYPE_CHECKING:
    import polars as pl

    Frame = pl.DataFrame

T = TypeVar("T")
Code = str | int
Codes = Code | Iterable[Code] | None
Columns = str | Iterable[str] | None


class StoredRows(StoredFiles):
    """The rows of one folder. Thread-safe; nothing is opened before the first question."""

    def rows(self, query: str, *params: object) -> Rows:
        """Column names and plain rows of one query, instants in Seoul; needs no Polars."""
        return self._ask(query, params, queries.as_rows)

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
        self._say_mark()
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
        warn_absent(table, absent, is_all=is_empty and bool(absent or not found))

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

    def _require(self, table: str) -> None:
        """Say that a table has no row, where it has none at all."""
        if not self._catalog.units(table):
            raise NotStored(f"no {table} at all are stored yet; {remedies.remedy(table, [])}")

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
            warn_absent(table, absent, is_all=True)
        without = sorted(set(wanted or ()) - found)
        for code in without:
            if not self._is_known(code):
                near = naming.nearest_to(self.rows, code)
                raise NotStored(f"no stock has the code {code}{near}")
        if without:
            warn_caller(f"{', '.join(without[:5])}: no {table} in what is stored of these days")
        if wanted is None and clock == "trading_day":
            self._warn_of_survivors(table, units, first)
        warn_absent(table, absent, is_all=False)
        if view.endswith("_adjusted") or view == "total_return":
            self._warn_of_gaps(table, units, first)

    def _warn_of_gaps(self, table: str, units: list[str], first: date | None) -> None:
        """Say so where a split could lie in a month between the rows and the newest stored one."""
        gaps = missing(table, units, first or date.fromisoformat(f"{units[0]}-01"), None)
        if gaps:
            warn_caller(
                f"a split in {spans(gaps)} would not be known, since no {table} of it are stored: "
                f"adjusted prices before it may be wrong; {remedies.remedy(table, gaps)}"
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

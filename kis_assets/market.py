"""What is stored, for people: a stock's candles, minutes and prices in one call. Reads only.

`from kis_assets import Market`. Every answer is a Polars frame in the columns of `docs/tables.md`;
`.to_pandas()` gives a pandas one where pandas is installed. Days are days in Seoul, given as dates
or as ISO text; instants are UTC. A stock is its code or a name that fits it alone; several are a
list; None is all. `as_of` reads what was stored at an earlier instant, as far as it is still kept.

Runs may write meanwhile: each call sees what was complete when it began.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from kis_assets.exchange import stocks
from kis_assets.lake.damaged_files import damaged, is_whole, rows_in
from kis_assets.lake.queries import NEWEST, Day, conditions, day_of, finding
from kis_assets.lake.reader import Catalogue, NotStored, NotStoredWarning, missing, spans
from kis_assets.security.ownership import Unfit
from kis_assets.security.text_input import composed

if TYPE_CHECKING:
    import duckdb
    import polars as pl

Codes = str | Iterable[str] | None

_MINUTES = {1: "minute_candles", 5: "candles_5m", 30: "candles_30m"}


class Market:
    """The stored market. Thread-safe; nothing is opened before the first question.

    Args:
        folder: the folder that holds `market.duckdb`, such as `data/kis`; that of the settings
            (`DATA_SOURCE_TYPE`, `KIS_DATA_DIR`, `KIS_VENUE`) when None.
        source: kis or mock, instead of `DATA_SOURCE_TYPE`.
        replay_at: the instant that `condition` takes for now; `KIS_REPLAY_AT` without a folder.

    Raises:
        SettingsError: a setting is wrong.
        NotStored: by every method, when what is asked is not there; it says how to get it.
        OSError: by every method, when a file is damaged or another user's; it says what to do.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        source: str | None = None,
        replay_at: datetime | None = None,
    ) -> None:
        if folder is None:
            from kis_assets.settings import Settings

            settings = Settings.load(data_source_type=source)
            folder, replay_at = settings.source_dir, settings.kis_replay_at
        self._catalogue = Catalogue(Path(folder).absolute(), replay_at)
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._catalogue.folder

    def daily_candles(
        self,
        codes: Codes = None,
        start: Day | None = None,
        end: Day | None = None,
        *,
        adjusted: bool = False,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        """Daily candles (일봉) by stock and day, both days included.

        Raw as stored, in whole KRW; `adjusted` puts prices and volumes on the share count of the
        newest stored day (수정주가), see `daily_candles_adjusted`. Months that are not stored are
        named in a warning.
        """
        view = "daily_candles_adjusted" if adjusted else "daily_candles"
        return self._table("daily_candles", view, "trading_day", codes, start, end, as_of)

    def weekly_candles(
        self, codes: Codes = None, start: Day | None = None, end: Day | None = None
    ) -> pl.DataFrame:
        """Raw candles of a week (주봉), dated by the last stored day in it."""
        return self._table(
            "daily_candles", "weekly_candles", "trading_day", codes, start, end, None
        )

    def monthly_candles(
        self, codes: Codes = None, start: Day | None = None, end: Day | None = None
    ) -> pl.DataFrame:
        """Raw candles of a month (월봉), dated by the last stored day in it."""
        return self._table(
            "daily_candles", "monthly_candles", "trading_day", codes, start, end, None
        )

    def minutes(
        self,
        codes: Codes,
        days: Day | tuple[Day | None, Day | None],
        *,
        every: int = 1,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        """Candles of 1, 5 or 30 minutes (분봉) of a day, or from one day to another, included."""
        if every not in _MINUTES:
            raise ValueError(f"candles of {every} minutes are not kept; 1, 5 and 30 are")
        first, last = days if isinstance(days, tuple) else (days, days)
        view = _MINUTES[every]
        return self._table("minute_candles", view, "started_at", codes, first, last, as_of)

    def snapshots(
        self,
        codes: Codes = None,
        start: Day | None = None,
        end: Day | None = None,
        *,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        """Prices (현재가) of all captures, by stock and capture."""
        name = "price_snapshots"
        return self._table(name, name, "captured_at", codes, start, end, as_of)

    def order_books(
        self,
        codes: Codes = None,
        start: Day | None = None,
        end: Day | None = None,
        *,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        """Order books (호가) of all captures, ten levels a side in a row."""
        return self._table("order_books", "order_books", "captured_at", codes, start, end, as_of)

    def prices(self, codes: Codes = None) -> pl.DataFrame:
        """Each stock's price in the newest capture that has it."""
        return self._table(
            "price_snapshots", "latest_prices", "captured_at", codes, None, None, None
        )

    def stocks(self, *, as_of: datetime | None = None) -> pl.DataFrame:
        """What was listed on the newest stored day, by code: all columns of `stock_master`."""
        rows = self.sql(
            f"SELECT * FROM stock_master WHERE {NEWEST} ORDER BY stock_code",  # noqa: S608
            as_of=as_of,
        )
        if rows.is_empty():
            raise NotStored(_no_master())
        return rows

    def find(self, text: str) -> pl.DataFrame:
        """Stocks whose name holds the text or whose code begins with it; the closest name first."""
        return self._answer(*finding(text), _frame)

    def condition(
        self, table: str | None = None, start: Day | None = None, end: Day | None = None
    ) -> pl.DataFrame:
        """What is known of a table's days: available, degraded, pending or missing, and why."""
        return self._answer(*conditions(table, start, end), _frame)

    def sql(self, query: str, *params: object, as_of: datetime | None = None) -> pl.DataFrame:
        """The answer of one query; `?` in it stands for the next parameter.

        Raises:
            duckdb.Error: the query is wrong, or tries to write.
            NotStored: nothing at all is stored yet.
            LakeError: what was stored at `as_of` is not kept any more.
        """
        return self._answer(query, params, _frame, as_of)

    def rows(self, query: str, *params: object) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and plain rows of one query, instants in Seoul; needs no Polars."""
        return self._answer(query, params, _plain)

    def bars(
        self, view: str, code: str, start: Day | None = None, end: Day | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """A stock's candles of one view, oldest first, as `rows` gives them: needs no Polars."""
        is_minutes = view in _MINUTES.values()
        table = "minute_candles" if is_minutes else "daily_candles"
        clock = "started_at" if is_minutes else "trading_day"
        first, last = _span(start, end)
        wanted = self._codes(code)
        columns, rows = self.rows(_query(view, clock, wanted, first, last))
        place = columns.index("stock_code")
        self._judge(table, {row[place] for row in rows}, wanted, first, last)
        return columns, rows

    def code(self, stock: str) -> str:
        """The code of a stock that is named by its code, its name or a part only it has.

        Raises:
            NotStored: nothing fits, or several do; it names the nearest.
            TypeError: it is no text.
        """
        word = composed(stock)
        # A code is not looked up: what is stored of it shows whether it exists. All have a digit,
        # which tells them from names of six letters.
        is_code = stocks.is_stock_code(word.upper()) and any(map(str.isdigit, word))
        return word.upper() if is_code else self._by_name(word)

    def close(self) -> None:
        """Release the database; the next question opens it again."""
        with self._lock:
            self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _by_name(self, name: str) -> str:
        _, found = self.rows(*_flat(finding(name)))
        exact = [row for row in found if composed(row[1]) == name]
        if len(exact or found) == 1:
            return str((exact or found)[0][0])
        if found:
            shown = ", ".join(f"{row[1]} ({row[0]})" for row in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise NotStored(f"{name!r} fits several stocks: {shown}{more}; give the code")
        raise NotStored(f"no stock is called {name!r}{self._nearest('stock_name', name)}")

    def _nearest(self, column: str, text: str) -> str:
        _, rows = self.rows(
            f"SELECT stock_name, stock_code FROM stock_master WHERE {NEWEST} "  # noqa: S608
            f"ORDER BY jaro_winkler_similarity({column}, ?) DESC, stock_code LIMIT 3",
            text,
        )
        if not rows:
            return f"; {_no_master()}"
        return "; nearest: " + ", ".join(f"{name} ({code})" for name, code in rows)

    def _table(
        self,
        table: str,
        view: str,
        clock: str,
        codes: Codes,
        start: Day | None,
        end: Day | None,
        as_of: datetime | None,
    ) -> pl.DataFrame:
        first, last = _span(start, end)
        wanted = self._codes(codes)
        rows = self.sql(_query(view, clock, wanted, first, last), as_of=as_of)
        if as_of is None:
            self._judge(table, set(rows["stock_code"].unique()), wanted, first, last)
        return rows

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
        table: str,
        found: set[str],
        wanted: list[str] | None,
        first: date | None,
        last: date | None,
    ) -> None:
        """Say what is not there: an error when that is all that was asked for, else a warning."""
        units = self._catalogue.units(table)
        absent = missing(table, units, first, last)
        if not found and (absent or not units):
            what = f" of {spans(absent)}" if absent else " at all"
            raise NotStored(f"no {table}{what} are stored yet; {_remedy(table, absent)}")
        without = sorted(set(wanted or ()) - found)
        for code in without:
            if not self._is_known(code):
                raise NotStored(f"no stock has the code {code}{self._nearest('stock_code', code)}")
        if without:
            _warn(f"{', '.join(without[:5])}: no {table} in what is stored of these days")
        if absent:
            _warn(f"no {table} of {spans(absent)} are stored; {_remedy(table, absent)}")

    def _is_known(self, code: str) -> bool:
        # Without any master nobody can say that a code is wrong.
        query = "SELECT count(*) = 0 OR bool_or(stock_code = ?) FROM stock_master"
        return bool(self.rows(query, code)[1][0][0])

    def _answer(
        self,
        query: str,
        params: Sequence[object],
        give: Callable[[duckdb.DuckDBPyConnection, str, list[object]], Any],
        as_of: datetime | None = None,
    ) -> Any:
        import duckdb

        try:
            return self._given(query, params, give, as_of)
        except duckdb.Error as error:
            path = rows_in(error, self.folder)
            if path is None or is_whole(path):
                raise
            raise Unfit(damaged(path)) from error

    def _given(
        self,
        query: str,
        params: Sequence[object],
        give: Callable[[duckdb.DuckDBPyConnection, str, list[object]], Any],
        as_of: datetime | None,
    ) -> Any:
        import duckdb

        if as_of is None and (published := self._published()) is not None:
            with published as connection, self._catalogue.plain_absence():
                try:
                    return give(connection, query, list(params))
                except duckdb.Error as error:
                    # A copy that was made while a run wrote has another catalogue than files.
                    path = rows_in(error, self.folder)
                    if path is None or path.exists():
                        raise
        with self._catalogue.at(as_of, query) as connection:
            return give(connection, query, list(params))

    def _published(self) -> duckdb.DuckDBPyConnection | None:
        """A connection to the catalogue; None where it cannot be read, which is told."""
        try:
            with self._lock:
                return self._catalogue.cursor()
        except Unfit as error:
            _warn(f"{error}; the rows themselves are read meanwhile")
            return None


def _span(start: Day | None, end: Day | None) -> tuple[date | None, date | None]:
    first, last = day_of(start), day_of(end)
    if first is not None and last is not None and last < first:
        raise ValueError(f"the span ends on {last}, before it starts on {first}")
    return first, last


def _query(
    view: str, clock: str, wanted: list[str] | None, first: date | None, last: date | None
) -> str:
    # Literals, not parameters: DuckDB leaves files unopened by what it knows when it plans.
    terms = [f"trading_day >= DATE '{first}'"] if first else []
    terms += [f"trading_day <= DATE '{last}'"] if last else []
    if wanted is not None:
        # A code that a server gave may hold anything.
        listed = ", ".join("'" + code.replace("'", "''") + "'" for code in wanted)
        terms.append(f"stock_code IN ({listed})")
    where = f"WHERE {' AND '.join(terms)} " if terms else ""
    return f"SELECT * FROM {view} {where}ORDER BY stock_code, {clock}"  # noqa: S608


def _flat(query: tuple[str, tuple[object, ...]]) -> tuple[Any, ...]:
    return query[0], *query[1]


def _frame(connection: duckdb.DuckDBPyConnection, query: str, params: list[object]) -> pl.DataFrame:
    connection.execute("SET TimeZone = 'UTC'")
    # None where there is nothing but blanks and comments, whatever its types say.
    relation = cast("duckdb.DuckDBPyRelation | None", connection.sql(query, params=params))
    if relation is None:
        raise ValueError("the query is empty")
    return relation.pl()


def _plain(
    connection: duckdb.DuckDBPyConnection, query: str, params: list[object]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    connection.execute("SET TimeZone = 'Asia/Seoul'")
    connection.execute(query, params)
    return [column[0] for column in connection.description or ()], connection.fetchall()


def _remedy(name: str, absent: list[tuple[str, str]]) -> str:
    from kis_assets.tables import TABLES

    table = TABLES[name]
    if table.live:
        return (
            "captures cannot be had later; the latest session's: "
            f"run: kis-assets run --table {name}"
        )
    if not absent:
        return "run: kis-assets run" + ("" if table.is_usual else f" --table {name}")
    first, last = absent[0]
    return f"run: kis-assets backfill {name} {first} {last}"


def _no_master() -> str:
    return "no stock_master is stored yet; run: kis-assets run"


def _warn(text: str) -> None:
    # As seen from who called the public method.
    warnings.warn(text, NotStoredWarning, stacklevel=5)

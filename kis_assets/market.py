"""What is stored, for people: a stock's candles, minutes and prices in one call. Reads only.

`from kis_assets import Market`. Every answer is a Polars frame in the columns of `docs/tables.md`;
`.to_pandas()` gives a pandas one where pandas is installed. Days are days in Seoul, given as dates
or as ISO text; instants are UTC. A stock is its code or a name that fits it alone; several are a
list; None is all. `as_of` reads what was stored at an earlier instant, as far as it is still kept.

Runs may write meanwhile: each call sees what was complete when it began.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from kis_assets.exchange import stocks
from kis_assets.lake.reader import CatalogReader, NotStored, NotStoredWarning, missing, spans
from kis_assets.security.text_input import composed

if TYPE_CHECKING:
    import duckdb
    import polars as pl

Codes = str | Iterable[str] | None
Day = date | str
Query = tuple[str, tuple[object, ...]]
Rows = tuple[list[str], list[tuple[Any, ...]]]

_NO_MASTER = "no stock_master is stored yet; run: kis-assets run"
_MINUTES = {1: "minute_candles", 5: "candles_5m", 30: "candles_30m"}
# The table that a view is made of, and the column that a stock's rows are in order of.
_MADE_OF = {
    **dict.fromkeys(
        ("daily_candles", "daily_candles_adjusted", "weekly_candles", "monthly_candles"),
        ("daily_candles", "trading_day"),
    ),
    **dict.fromkeys(_MINUTES.values(), ("minute_candles", "started_at")),
    **dict.fromkeys(("price_snapshots", "latest_prices"), ("price_snapshots", "captured_at")),
    "order_books": ("order_books", "captured_at"),
}

NEWEST = "trading_day = (SELECT max(trading_day) FROM stock_master)"
_LISTED = (
    "stock_code, stock_name, market, security_type, listed_shares, base_price, is_halted, "
    "is_administrative, listed_on, trading_day"
)


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
        self._catalog = CatalogReader(Path(folder).absolute(), replay_at)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._catalog.folder

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
        return self._rows(view, codes, start, end, as_of)

    def weekly_candles(
        self, codes: Codes = None, start: Day | None = None, end: Day | None = None
    ) -> pl.DataFrame:
        """Raw candles of a week (주봉), dated by the last stored day in it."""
        return self._rows("weekly_candles", codes, start, end)

    def monthly_candles(
        self, codes: Codes = None, start: Day | None = None, end: Day | None = None
    ) -> pl.DataFrame:
        """Raw candles of a month (월봉), dated by the last stored day in it."""
        return self._rows("monthly_candles", codes, start, end)

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
        return self._rows(_MINUTES[every], codes, first, last, as_of)

    def snapshots(
        self,
        codes: Codes = None,
        start: Day | None = None,
        end: Day | None = None,
        *,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        """Prices (현재가) of all captures, by stock and capture."""
        return self._rows("price_snapshots", codes, start, end, as_of)

    def order_books(
        self,
        codes: Codes = None,
        start: Day | None = None,
        end: Day | None = None,
        *,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        """Order books (호가) of all captures, ten levels a side in a row."""
        return self._rows("order_books", codes, start, end, as_of)

    def prices(self, codes: Codes = None) -> pl.DataFrame:
        """Each stock's price in the newest capture that has it."""
        return self._rows("latest_prices", codes, None, None)

    def stocks(self, *, as_of: datetime | None = None) -> pl.DataFrame:
        """What was listed on the newest stored day, by code: all columns of `stock_master`."""
        rows = self.sql(
            f"SELECT * FROM stock_master WHERE {NEWEST} ORDER BY stock_code",  # noqa: S608
            as_of=as_of,
        )
        if rows.is_empty():
            raise NotStored(_NO_MASTER)
        return rows

    def find(self, text: str) -> pl.DataFrame:
        """Stocks whose name holds the text or whose code begins with it; the closest name first."""
        query, params = finding(text)
        return self.sql(query, *params)

    def condition(
        self, table: str | None = None, start: Day | None = None, end: Day | None = None
    ) -> pl.DataFrame:
        """What is known of a table's days: available, degraded, pending or missing, and why."""
        query, params = conditions(table, start, end)
        return self.sql(query, *params)

    def sql(self, query: str, *params: object, as_of: datetime | None = None) -> pl.DataFrame:
        """The answer of one query; `?` in it stands for the next parameter.

        Raises:
            duckdb.Error: the query is wrong, or would write a table or a file (`COPY`, `EXPORT`).
            NotStored: nothing at all is stored yet.
            LakeError: what was stored at `as_of` is not kept any more.
        """
        return self._catalog.ask(query, params, _frame, as_of)

    def rows(self, query: str, *params: object) -> Rows:
        """Column names and plain rows of one query, instants in Seoul; needs no Polars."""
        return self._catalog.ask(query, params, _plain)

    def bars(self, view: str, code: str, start: Day | None = None, end: Day | None = None) -> Rows:
        """A stock's candles of one view, oldest first, as `rows` gives them: needs no Polars."""
        first, last = _span(start, end)
        wanted = self._codes(code)
        columns, rows = self.rows(_query(view, wanted, first, last))
        place = columns.index("stock_code")
        self._judge(view, {row[place] for row in rows}, wanted, first, last)
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
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _by_name(self, name: str) -> str:
        query, params = finding(name)
        _, found = self.rows(query, *params)
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
        nearest = ", ".join(f"{name} ({code})" for name, code in rows)
        return f"; nearest: {nearest}" if rows else f"; {_NO_MASTER}"

    def _rows(
        self,
        view: str,
        codes: Codes,
        start: Day | None,
        end: Day | None,
        as_of: datetime | None = None,
    ) -> pl.DataFrame:
        first, last = _span(start, end)
        wanted = self._codes(codes)
        rows = self.sql(_query(view, wanted, first, last), as_of=as_of)
        if as_of is None:
            self._judge(view, set(rows["stock_code"].unique()), wanted, first, last)
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
        view: str,
        found: set[str],
        wanted: list[str] | None,
        first: date | None,
        last: date | None,
    ) -> None:
        """Say what is not there: an error when that is all that was asked for, else a warning."""
        table, _ = _MADE_OF[view]
        units = self._catalog.units(table)
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


def finding(text: str) -> Query:
    """The query for stocks by a part of the name or the beginning of the code."""
    word = composed(text)
    return (
        f"SELECT {_LISTED} FROM stock_master WHERE {NEWEST} "  # noqa: S608
        "AND (contains(lower(nfc_normalize(stock_name)), lower(?)) "
        "OR starts_with(stock_code, upper(?))) "
        "ORDER BY nfc_normalize(stock_name) <> ?, length(stock_name), stock_code",
        (word, word, word),
    )


def conditions(table: str | None, start: Day | None, end: Day | None) -> Query:
    """The query for the condition of a table's days, or of all tables'."""
    asked = {
        "table_name = ?": table,
        "trading_day >= ?": as_day(start),
        "trading_day <= ?": as_day(end),
    }
    given = {test: value for test, value in asked.items() if value is not None}
    where = " AND ".join(given) or "true"
    query = f"SELECT * FROM dataset_condition WHERE {where} ORDER BY table_name, trading_day"  # noqa: S608
    return query, tuple(given.values())


def as_day(day: Day | None) -> date | None:
    """The day that is meant by a date or by ISO text.

    Raises:
        ValueError: the text is no day.
        TypeError: it is neither; of an instant, which day it is depends on its zone.
    """
    if isinstance(day, datetime):
        raise TypeError(f"a day is wanted, not the instant {day.isoformat()}")
    if isinstance(day, str):
        try:
            return date.fromisoformat(day)
        except ValueError:
            raise ValueError(f"{day!r} is no day; write it as 2026-03-17") from None
    known: Any = day
    if known is not None and not isinstance(known, date):
        raise TypeError(f'a day is wanted, such as "2026-03-17", not {known!r}')
    return day


def _span(start: Day | None, end: Day | None) -> tuple[date | None, date | None]:
    first, last = as_day(start), as_day(end)
    if first is not None and last is not None and last < first:
        raise ValueError(f"the span ends on {last}, before it starts on {first}")
    return first, last


def _query(view: str, wanted: list[str] | None, first: date | None, last: date | None) -> str:
    # Literals, not parameters: DuckDB leaves files unopened by what it knows when it plans.
    tests = [f"trading_day >= DATE '{first}'"] if first else []
    tests += [f"trading_day <= DATE '{last}'"] if last else []
    if wanted is not None:
        # A code that a server gave may hold anything.
        listed = ", ".join("'" + code.replace("'", "''") + "'" for code in wanted)
        tests.append(f"stock_code IN ({listed})")
    where = f"WHERE {' AND '.join(tests)} " if tests else ""
    _, clock = _MADE_OF[view]
    return f"SELECT * FROM {view} {where}ORDER BY stock_code, {clock}"  # noqa: S608


def _frame(connection: duckdb.DuckDBPyConnection, query: str, params: list[object]) -> pl.DataFrame:
    connection.execute("SET TimeZone = 'UTC'")
    # None where there are only blanks and comments, whatever its types say.
    relation = cast("duckdb.DuckDBPyRelation | None", connection.sql(query, params=params))
    if relation is None:
        raise ValueError("the query is empty")
    return relation.pl()


def _plain(connection: duckdb.DuckDBPyConnection, query: str, params: list[object]) -> Rows:
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


def _warn(text: str) -> None:
    # As seen from who called the public method.
    warnings.warn(text, NotStoredWarning, stacklevel=5)

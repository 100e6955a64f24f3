"""What is stored, for people: a stock's candles, minutes and prices in one call. Reads only.

`from kis_assets import Market`. Every answer is a Polars frame in the columns of `docs/tables.md`;
`.to_pandas()` gives a pandas one where pandas is installed. Days are days in Seoul, given as dates
or as ISO text; instants are UTC. A stock is its code or a name that fits it alone; several are a
list; None is all. `as_of` reads what was stored at an earlier instant, as far as it is still kept.

Runs may write meanwhile: each call sees what was complete when it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kis_assets.exchange import indices, stocks, venues
from kis_assets.lake import queries
from kis_assets.lake.queries import At, Days, Rows, When
from kis_assets.lake.reader import (
    CatalogReader,
    NotStored,
    SurvivorshipWarning,
    missing,
    spans,
    tell,
)
from kis_assets.security.text_input import composed

if TYPE_CHECKING:
    import polars as pl

    Frame = pl.DataFrame

Codes = str | Iterable[str] | None

_NO_MASTER = "no stock_master is stored yet; run: kis-assets run"


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
        start: When = None,
        end: When = None,
        *,
        adjusted: bool = False,
        as_of: datetime | None = None,
    ) -> Frame:
        """Daily candles (일봉) by stock and day, both days included.

        Raw as stored, in whole KRW; `adjusted` puts prices and volumes on the share count of the
        newest stored day (수정주가), see `daily_candles_adjusted`. Months that are not stored are
        named in a warning.
        """
        view = "daily_candles_adjusted" if adjusted else "daily_candles"
        return self._rows(view, codes, start, end, as_of)

    def weekly_candles(
        self, codes: Codes = None, start: When = None, end: When = None, *, adjusted: bool = False
    ) -> Frame:
        """Candles of a week (주봉), dated by the last stored day in it; raw, or `adjusted`."""
        view = "weekly_candles_adjusted" if adjusted else "weekly_candles"
        return self._rows(view, codes, start, end)

    def monthly_candles(
        self, codes: Codes = None, start: When = None, end: When = None, *, adjusted: bool = False
    ) -> Frame:
        """Candles of a month (월봉), dated by the last stored day in it; raw, or `adjusted`."""
        view = "monthly_candles_adjusted" if adjusted else "monthly_candles"
        return self._rows(view, codes, start, end)

    def total_return(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """Adjusted closes with cash dividends reinvested (총수익), as the view says."""
        return self._rows("total_return", codes, start, end)

    def benchmark(
        self, codes: Codes = None, start: When = None, end: When = None, *, index: str = "KOSPI"
    ) -> Frame:
        """Daily returns of stocks beside those of an index, as fractions: 0.01 is one percent.

        Columns: trading_day, stock_code, stock_return (of adjusted closes), index_return and
        excess_return, the one less the other. Both are from the stock's day before, so that they
        are of the same span across a gap; without the index on either day it is null.

        Args:
            codes: the stocks; None for all.
            start: the first day; its return is against the session before.
            end: the last one.
            index: KOSPI, KOSDAQ, KOSPI 200, KOSDAQ 150, or a code of four digits.
        """
        first, last = queries.span(start, end)
        wanted, code = self._codes(codes), indices.code_of(index)
        rows = self.sql(queries.benchmark(wanted, first, last), code)
        self._judge("daily_candles_adjusted", set(rows["stock_code"]), wanted, first, last)
        is_empty = rows["index_return"].null_count() == rows.height
        self._judge_figures("index_candles", first, last, is_empty=is_empty)
        return rows

    def minutes(self, codes: Codes, days: Days, *, every: int = 1, as_of: At = None) -> Frame:
        """Candles of so many minutes (분봉) of a day, or from one day to another, included.

        Those of another number than 1, 5 and 30 are counted from the open of their session; the
        closing auction is a candle of its own.
        """
        return self._rows(queries.minutes_of(every), codes, *queries.both(days), as_of)

    def snapshots(
        self, codes: Codes = None, start: When = None, end: When = None, *, as_of: At = None
    ) -> Frame:
        """Prices (현재가) of all captures, by stock and capture."""
        return self._rows("price_snapshots", codes, start, end, as_of)

    def order_books(
        self, codes: Codes = None, start: When = None, end: When = None, *, as_of: At = None
    ) -> Frame:
        """Order books (호가) of all captures, ten levels a side in a row."""
        return self._rows("order_books", codes, start, end, as_of)

    def trades(self, codes: Codes, days: Days, *, seconds: int | None = None) -> Frame:
        """Recorded trades (체결) of a day, or from one day to another, by stock as they came.

        With `seconds` they are bars of so many, with what buyers and sellers began. What is missing
        is in the table stream_gaps. Of today the newest minute is not there yet.
        """
        view = "trades" if seconds is None else f"trade_bars({int(seconds)})"
        return self._rows(view, codes, *queries.both(days))

    def order_book_ticks(self, codes: Codes, days: Days) -> Frame:
        """Recorded order books (호가) of a day, or from one day to another, as they came."""
        return self._rows("order_book_ticks", codes, *queries.both(days))

    def prices(self, codes: Codes = None) -> Frame:
        """Each stock's price in the newest capture that has it, with market, sector, industry."""
        return self._rows("prices", codes, None, None)

    def stocks(self, day: When = None, *, as_of: datetime | None = None) -> Frame:
        """What was listed, by code: names, market, sector, industry, shares and status.

        Args:
            day: a past day; the newest stored one when None. Its own list is given, as it was
                stored on that day or as KRX published it, and never that of today.
            as_of: read what was stored at that instant.

        Raises:
            NotStored: nobody stored which stocks were listed on that day; it says how to know.
        """
        on = queries.as_day(day)
        if on is None:
            rows = self.sql("FROM stocks", as_of=as_of)
            if rows.is_empty():
                raise NotStored(_NO_MASTER)
            return rows
        rows = self.sql(queries.listed_on(), on, as_of=as_of)
        krx = self._catalog.folder.parent / venues.krx_beside(self._catalog.folder.name)
        if rows.is_empty() and (krx / "market.duckdb").exists():
            with Market(krx) as beside:
                rows = beside.sql(queries.traded_on(), on)
        if rows.is_empty():
            raise NotStored(
                f"which stocks were listed on {on} is not stored, and the list of today lacks "
                "those that are gone since; KRX tells: set KRX_API_KEY and run: "
                f"kis-assets run --table krx_daily --date {on}"
            )
        return rows

    def screen(
        self,
        condition: str = "true",
        *,
        columns: str = "*",
        order_by: str = "stock_code",
        limit: int | None = None,
    ) -> Frame:
        """Stocks of today whose facts fulfil a condition: `per < 10 AND foreign_net_20d > 0`.

        Args:
            condition: SQL over the columns of the view `facts`, one row a stock.
            columns: which of them to give.
            order_by: SQL, such as `foreign_net_20d DESC`.
            limit: how many at most.

        Raises:
            ValueError: the condition is no SQL of these columns; it names them.
        """
        import duckdb

        try:
            rows = self.sql(queries.screening(condition, columns, order_by, limit))
        except (duckdb.BinderException, duckdb.ParserException) as error:
            _, known = self.rows("SELECT string_agg(column_name, ', ') FROM (DESCRIBE facts)")
            raise ValueError(f"{error}; the columns are {known[0][0]}") from None
        if rows.is_empty() and not self._catalog.units("stock_master"):
            raise NotStored(_NO_MASTER)
        return rows

    def index_candles(
        self, index: str | None = None, start: When = None, end: When = None
    ) -> Frame:
        """Daily bars of an index (지수) in points: KOSPI, KOSDAQ, KOSPI 200, a code; or of all."""
        codes = None if index is None else [indices.code_of(index)]
        return self._figures("index_candles", codes, start, end, "index_code")

    def investor_flows(
        self, codes: Codes = None, start: When = None, end: When = None, *, wide: bool = False
    ) -> Frame:
        """Who bought and sold a stock (투자자별): twelve classes a day, four groups if `wide`."""
        return self._rows("investor_flows_wide" if wide else "investor_flows", codes, start, end)

    def market_flows(
        self, market: str | None = None, start: When = None, end: When = None
    ) -> Frame:
        """What each class of investors bought less sold on KOSPI or KOSDAQ, or on both."""
        return self._figures("market_flows", [market] if market else None, start, end, "market")

    def short_sales(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """Short sales (공매도) by stock and day, in shares, KRW and percent of the volume."""
        return self._rows("short_sales", codes, start, end)

    def stock_loans(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """Lent shares (대차) by stock and day: balance, new and given back."""
        return self._rows("stock_loans", codes, start, end)

    def program_trades(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """Programme trades (프로그램 매매) by stock and day, in shares and KRW."""
        return self._rows("program_trades", codes, start, end)

    def credit_balances(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """Shares bought on credit (신용융자) by stock and day of the deal."""
        return self._rows("credit_balances", codes, start, end)

    def valuations(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """PER, PBR, foreign holding and extremes of each capture, by stock."""
        return self._rows("valuations", codes, start, end)

    def etf_navs(self, codes: Codes = None, start: When = None, end: When = None) -> Frame:
        """Close and net asset value (순자산가치) of ETFs by day."""
        return self._rows("etf_navs", codes, start, end)

    def financial_statements(self, codes: Codes = None, *, as_of: datetime | None = None) -> Frame:
        """Quarters and years of companies, as KIS had them in the newest month they were asked in.

        `as_of` gives what was known at an earlier instant.
        """
        query = queries.rows_of("financial_statements", self._codes(codes), None, None)
        rows = self.sql(query, as_of=as_of)
        if rows.is_empty():
            self._require("financial_statements")
        return rows

    def find(self, text: str) -> Frame:
        """Stocks whose name holds the text or whose code begins with it; the closest name first."""
        query, params = queries.finding(text)
        return self.sql(query, *params)

    def condition(self, table: str | None = None, start: When = None, end: When = None) -> Frame:
        """What is known of a table's days: available, degraded, pending or missing, and why."""
        query, params = queries.conditions(table, start, end)
        return self.sql(query, *params)

    def sql(self, query: str, *params: object, as_of: datetime | None = None) -> Frame:
        """The answer of one query; `?` in it stands for the next parameter.

        Raises:
            duckdb.Error: the query is wrong, or would write a table or a file (`COPY`, `EXPORT`).
            NotStored: nothing at all is stored yet.
            LakeError: what was stored at `as_of` is not kept any more.
        """
        return self._catalog.ask(query, params, queries.as_frame, as_of)

    def rows(self, query: str, *params: object) -> Rows:
        """Column names and plain rows of one query, instants in Seoul; needs no Polars."""
        return self._catalog.ask(query, params, queries.as_rows)

    def bars(self, view: str, code: str, start: When = None, end: When = None) -> Rows:
        """A stock's candles of one view, oldest first, as `rows` gives them: needs no Polars."""
        first, last = queries.span(start, end)
        wanted = self._codes(code)
        columns, rows = self.rows(queries.rows_of(view, wanted, first, last))
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
        query, params = queries.finding(name)
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
            f"SELECT stock_name, stock_code FROM stock_master WHERE {queries.NEWEST} "  # noqa: S608
            f"ORDER BY jaro_winkler_similarity({column}, ?) DESC, stock_code LIMIT 3",
            text,
        )
        nearest = ", ".join(f"{name} ({code})" for name, code in rows)
        return f"; nearest: {nearest}" if rows else f"; {_NO_MASTER}"

    def _rows(
        self, view: str, codes: Codes, start: When, end: When, as_of: datetime | None = None
    ) -> Frame:
        first, last = queries.span(start, end)
        wanted = self._codes(codes)
        rows = self.sql(queries.rows_of(view, wanted, first, last), as_of=as_of)
        if as_of is None:
            self._judge(view, set(rows["stock_code"].unique()), wanted, first, last)
        return rows

    def _figures(
        self, table: str, wanted: list[str] | None, start: When, end: When, subject: str
    ) -> Frame:
        """Rows of a table that is by index or market, no stock."""
        first, last = queries.span(start, end)
        rows = self.sql(queries.rows_of(table, wanted, first, last, subject))
        self._judge_figures(table, first, last, is_empty=rows.is_empty())
        return rows

    def _judge_figures(
        self, table: str, first: date | None, last: date | None, *, is_empty: bool
    ) -> None:
        """As `_judge`, of a table whose files hold a year: its months are those that have rows."""
        month = "strftime(trading_day, '%Y-%m')"
        _, found = self.rows(f"SELECT DISTINCT {month} FROM {table} ORDER BY 1")  # noqa: S608
        absent = missing(table, [name for (name,) in found], first, last)
        _tell_absent(table, absent, is_all=is_empty and bool(absent or not found))

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
            _tell_absent(table, absent, is_all=True)
        without = sorted(set(wanted or ()) - found)
        for code in without:
            if not self._is_known(code):
                raise NotStored(f"no stock has the code {code}{self._nearest('stock_code', code)}")
        if without:
            tell(f"{', '.join(without[:5])}: no {table} in what is stored of these days")
        if wanted is None and clock == "trading_day":
            self._warn_of_survivors(table, units, first)
        _tell_absent(table, absent, is_all=False)

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
            tell(text, SurvivorshipWarning)

    def _is_known(self, code: str) -> bool:
        # Without any master nobody can say that a code is wrong.
        query = "SELECT count(*) = 0 OR bool_or(stock_code = ?) FROM stock_master"
        return bool(self.rows(query, code)[1][0][0])


def _tell_absent(table: str, absent: list[tuple[str, str]], *, is_all: bool) -> None:
    """Say which spans of a table are not stored and what fetches them; `is_all` that was asked for.

    Raises:
        NotStored: all of it.
    """
    what = f" of {spans(absent)}" if absent else " at all"
    if is_all:
        raise NotStored(f"no {table}{what} are stored yet; {queries.remedy(table, absent)}")
    if absent:
        tell(f"no {table}{what} are stored; {queries.remedy(table, absent)}")

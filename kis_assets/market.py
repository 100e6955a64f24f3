"""Stored data for analysis: a stock's candles, minutes and prices in one call. Reads only.

`from kis_assets import Market`. Every method returns a Polars frame with the columns of
`docs/tables.md`; `.to_pandas()` makes a pandas frame, if pandas is installed. Days are days in
Seoul: dates, timestamps at midnight, or text, which may also be a month or a year. Instants are
UTC. A stock is a code or a name that only this stock has; several are a list; None is all.
`columns` are names, in a list or separated by commas; None is all. `as_of` reads what was stored at
an earlier instant, if that version still exists.

Runs may write at the same time: each call sees what was complete when it began.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kis_assets.exchange import indices, venues
from kis_assets.exchange.days import Days, When, as_day, both, span
from kis_assets.lake import naming, queries, remedies
from kis_assets.lake.queries import At, Rows
from kis_assets.lake.reader import NotStored, easiest, needs_of
from kis_assets.lake.stored_rows import Codes, Columns, StoredRows

if TYPE_CHECKING:
    import polars as pl

    Frame = pl.DataFrame


class Market(StoredRows):
    """The stored market. Thread-safe; the first query opens the database.

    Args:
        folder: the folder of `market.duckdb`, such as `data/kis`. None: the folder of the settings
            (`DATA_SOURCE_TYPE`, `KIS_DATA_DIR`, `KIS_VENUE`).
        source: kis or mock, instead of `DATA_SOURCE_TYPE`.
        replay_at: the instant that `condition` uses as now. Without a folder: `KIS_REPLAY_AT`.

    Raises:
        SettingsError: a setting is wrong.
        NotStored: by every method, if the data is not stored. The message says how to get it.
        OSError: by every method, if a file is damaged or belongs to another user. The message
            says what to do.
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
        super().__init__(Path(folder).absolute(), replay_at)

    def daily_candles(
        self,
        codes: Codes = None,
        start: When = None,
        end: When = None,
        *,
        adjusted: bool = False,
        as_of: datetime | None = None,
        columns: Columns = None,
    ) -> Frame:
        """Daily candles (일봉) by stock and day, including both days.

        Raw as stored, in whole KRW. `adjusted` puts prices and volumes on the share count of the
        newest stored day (수정주가), see `daily_candles_adjusted`. A warning names months that are
        not stored.
        """
        view = "daily_candles_adjusted" if adjusted else "daily_candles"
        return self._rows(view, codes, start, end, columns, as_of)

    def weekly_candles(
        self,
        codes: Codes = None,
        start: When = None,
        end: When = None,
        *,
        adjusted: bool = False,
        columns: Columns = None,
    ) -> Frame:
        """Weekly candles (주봉), dated by the last stored day of the week; raw, or `adjusted`."""
        view = "weekly_candles_adjusted" if adjusted else "weekly_candles"
        return self._rows(view, codes, start, end, columns)

    def monthly_candles(
        self,
        codes: Codes = None,
        start: When = None,
        end: When = None,
        *,
        adjusted: bool = False,
        columns: Columns = None,
    ) -> Frame:
        """Monthly candles (월봉), dated by the last stored day of the month; raw, or `adjusted`."""
        view = "monthly_candles_adjusted" if adjusted else "monthly_candles"
        return self._rows(view, codes, start, end, columns)

    def total_return(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Adjusted closes with cash dividends reinvested (총수익), from the view `total_return`."""
        return self._rows("total_return", codes, start, end, columns)

    def benchmark(
        self, codes: Codes = None, start: When = None, end: When = None, *, index: str = "KOSPI"
    ) -> Frame:
        """Daily returns of stocks and of an index, as fractions: 0.01 is one percent.

        Columns: trading_day, stock_code, stock_return (of adjusted closes), index_return and
        excess_return, the difference of the two. Both returns start at the stock's previous row, so
        that they cover the same span across a gap. Without the index on either day they are null.

        Args:
            codes: the stocks; None for all.
            start: the first day; its return is against the session before.
            end: the last day.
            index: KOSPI, KOSDAQ, KOSPI 200, KOSDAQ 150, or a code of four digits.
        """
        first, last = span(start, end)
        wanted, code = self._codes(codes), indices.code_of(index)
        rows = self.sql(queries.benchmark(wanted, first, last), code)
        self._judge("daily_candles_adjusted", set(rows["stock_code"]), wanted, first, last)
        is_empty = rows["index_return"].null_count() == rows.height
        self._judge_figures("index_candles", first, last, is_empty=is_empty)
        return rows

    def minutes(
        self, codes: Codes, days: Days, *, every: int = 1, as_of: At = None, columns: Columns = None
    ) -> Frame:
        """Candles of `every` minutes (분봉) of a day, or from one day to another (both included).

        Numbers other than 1, 5 and 30 count from the open of the session; the closing auction is a
        candle of its own.
        """
        return self._rows(queries.minutes_of(every), codes, *both(days), columns, as_of)

    def snapshots(
        self,
        codes: Codes = None,
        start: When = None,
        end: When = None,
        *,
        as_of: At = None,
        columns: Columns = None,
    ) -> Frame:
        """Captured prices (현재가), by stock and capture."""
        return self._rows("price_snapshots", codes, start, end, columns, as_of)

    def order_books(
        self,
        codes: Codes = None,
        start: When = None,
        end: When = None,
        *,
        as_of: At = None,
        columns: Columns = None,
    ) -> Frame:
        """Captured order books (호가), with ten levels per side in one row."""
        return self._rows("order_books", codes, start, end, columns, as_of)

    def trades(
        self, codes: Codes, days: Days, *, seconds: int | None = None, columns: Columns = None
    ) -> Frame:
        """Recorded trades (체결) of a day, or from one day to another, by stock and arrival.

        `seconds` makes bars of that length, with the volumes that buyers and sellers initiated. The
        table stream_gaps has what is missing. Trades of the last minute are not included yet.
        """
        view = "trades" if seconds is None else f"trade_bars({int(seconds)})"
        return self._rows(view, codes, *both(days), columns)

    def order_book_ticks(self, codes: Codes, days: Days, *, columns: Columns = None) -> Frame:
        """Recorded order books (호가) of a day, or from one day to another, in order of arrival."""
        return self._rows("order_book_ticks", codes, *both(days), columns)

    def prices(self, codes: Codes = None, *, columns: Columns = None) -> Frame:
        """Each stock's newest captured price, with market, sector and industry."""
        return self._rows("prices", codes, None, None, columns)

    def stocks(self, day: When = None, *, as_of: datetime | None = None) -> Frame:
        """The listed issues by code: names, market, sector, industry, shares and status.

        Args:
            day: a past day. None: the newest stored day. A past day gives its own list, as stored
                on that day or as KRX published it, and never the list of today.
            as_of: read what was stored at that instant.

        Raises:
            NotStored: the list of that day is not stored. The message says how to get it.
        """
        on = as_day(day)
        if on is None:
            rows = self.sql("FROM stocks", as_of=as_of)
            if rows.is_empty():
                raise NotStored(naming.NO_MASTER)
            return rows
        rows = self.sql(queries.listed_on(), on, as_of=as_of)
        krx = self._catalog.folder.parent / venues.krx_beside(self._catalog.folder.name)
        if rows.is_empty() and (krx / "market.duckdb").exists():
            with Market(krx) as beside:
                rows = beside.sql(queries.traded_on(), on)
        if rows.is_empty():
            raise NotStored(
                f"the list of stocks of {on} is not stored, and today's list lacks stocks that "
                "were delisted since; KRX has it: set KRX_API_KEY and run: "
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
        """Stocks of today whose facts meet a condition: `per < 10 AND foreign_net_20d > 0`.

        Args:
            condition: SQL over the columns of the view `facts`, which has one row per stock.
            columns: the columns to return.
            order_by: SQL, such as `foreign_net_20d DESC`.
            limit: the maximum number of rows.

        Raises:
            ValueError: the condition is not SQL over these columns. The message names them.
        """
        import duckdb

        try:
            rows = self.sql(queries.screening(condition, columns, order_by, limit))
        except (duckdb.BinderException, duckdb.ParserException) as error:
            _, known = self.rows("SELECT string_agg(column_name, ', ') FROM (DESCRIBE facts)")
            raise ValueError(f"{error}; the columns are {known[0][0]}") from None
        if rows.is_empty() and not self._catalog.units("stock_master"):
            raise NotStored(naming.NO_MASTER)
        return rows

    def index_candles(
        self,
        index: str | None = None,
        start: When = None,
        end: When = None,
        *,
        columns: Columns = None,
    ) -> Frame:
        """Daily bars of an index (지수), in points: KOSPI, KOSPI 200, ... or a code. None: all."""
        codes = None if index is None else [indices.code_of(index)]
        return self._figures("index_candles", codes, start, end, "index_code", columns)

    def investor_flows(
        self,
        codes: Codes = None,
        start: When = None,
        end: When = None,
        *,
        wide: bool = False,
        columns: Columns = None,
    ) -> Frame:
        """Who bought and sold a stock (투자자별): twelve classes a day, four groups if `wide`."""
        return self._rows(
            "investor_flows_wide" if wide else "investor_flows", codes, start, end, columns
        )

    def market_flows(
        self,
        market: str | None = None,
        start: When = None,
        end: When = None,
        *,
        columns: Columns = None,
    ) -> Frame:
        """Net purchases of each class of investors on KOSPI, on KOSDAQ, or on both."""
        return self._figures(
            "market_flows", [market] if market else None, start, end, "market", columns
        )

    def short_sales(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Short sales (공매도) by stock and day, in shares, KRW and percent of the volume."""
        return self._rows("short_sales", codes, start, end, columns)

    def stock_loans(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Lent shares (대차) by stock and day: balance, newly lent and returned."""
        return self._rows("stock_loans", codes, start, end, columns)

    def program_trades(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Programme trades (프로그램 매매) by stock and day, in shares and KRW."""
        return self._rows("program_trades", codes, start, end, columns)

    def credit_balances(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Shares bought on credit (신용융자) by stock and day of the deal."""
        return self._rows("credit_balances", codes, start, end, columns)

    def valuations(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Captured PER, PBR, foreign holding and 52-week extremes, by stock."""
        return self._rows("valuations", codes, start, end, columns)

    def etf_navs(
        self, codes: Codes = None, start: When = None, end: When = None, *, columns: Columns = None
    ) -> Frame:
        """Close and net asset value (순자산가치) of ETFs by day."""
        return self._rows("etf_navs", codes, start, end, columns)

    def financial_statements(
        self, codes: Codes = None, *, as_of: At = None, columns: Columns = None
    ) -> Frame:
        """Quarters and years of companies, as KIS showed them in their newest stored month.

        `as_of` gives what was known at an earlier instant.
        """
        wanted = self._codes(codes)
        table = "financial_statements"
        return self._figures(table, wanted, None, None, "stock_code", columns, as_of)

    def find(self, text: str) -> Frame:
        """Stocks whose name contains the text or whose code begins with it; closest names first."""
        query, params = naming.finding(text)
        with self.needing("stock_master"):
            return self.sql(query, *params)

    def condition(self, table: str | None = None, start: When = None, end: When = None) -> Frame:
        """The condition of a table's days: available, degraded, pending or missing, and why."""
        query, params = queries.conditions(table, start, end)
        return self.sql(query, *params)

    def sql(self, query: str, *params: object, as_of: datetime | None = None) -> Frame:
        """The result of one query; `?` stands for the next parameter.

        If the rows are invented, the log says so once: `MOCK DATA`.

        Raises:
            duckdb.Error: the query is wrong, or would write a table or a file (`COPY`, `EXPORT`).
            NotStored: nothing is stored yet.
            LakeError: the version stored at `as_of` no longer exists.
        """
        return self._ask(query, params, queries.as_frame, as_of)

    def answers(self, query: str) -> list[Rows]:
        """The results of several queries separated by semicolons, as `rows` returns them."""
        return self._ask(query, (), queries.as_answers)

    def remedy(self, query: str) -> str:
        """The command that fetches the missing tables of a query; empty if none is missing.

        A view needs only its main table, or one of its main tables: the others add columns.
        """
        absent = [
            easiest(needed)
            for needed in needs_of(query)
            if not any(self._catalog.units(table) for table in needed)
        ]
        is_there = (self.folder / "market.duckdb").exists()
        return remedies.remedies(absent) if absent or not is_there else ""

    def bars(self, view: str, code: str, start: When = None, end: When = None) -> Rows:
        """A stock's candles of one view, oldest first, as `rows` returns them, without Polars."""
        first, last = span(start, end)
        wanted = self._codes(code)
        with self.needing(queries.made_of(view)[0], first, last):
            columns, rows = self.rows(queries.rows_of(view, wanted, first, last))
        place = columns.index("stock_code")
        self._judge(view, {row[place] for row in rows}, wanted, first, last)
        return columns, rows

    def close(self) -> None:
        """Close the database; the next query opens it again."""
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

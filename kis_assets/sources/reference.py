"""KIS as a source of what changes slowly: lists, stock facts, calendar, corporate actions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from kis_assets.errors import (
    InvalidRequest,
    KISError,
    NotSupported,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.venues import Venue
from kis_assets.kis import answers
from kis_assets.kis.answers_reference import ACTION_LISTS
from kis_assets.kis.client import Client
from kis_assets.kis.quotations import Quotations
from kis_assets.settings import Settings
from kis_assets.sources.base import AbstractDataSource, Fetched, Progress, StockInfo
from kis_assets.sources.batch import checked, several
from kis_assets.tables import CORPORATE_ACTIONS, STOCK_INFO, STOCK_MASTER
from kis_assets.transport.fan_out import each

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds that a request among thousands stands in the quota's queue: captures go before it."""
ANNOUNCED_BEFORE = 2
"""Months before the one in which an action takes effect whose announcements are looked through:
the lists go by record date, and a halt for a split or a merger lasts weeks."""


class KISReference(AbstractDataSource):
    """The part of `KISDataSource` that is not about prices."""

    _settings: Settings
    _client: Client
    _kis: Quotations
    _master: tuple[date, pl.DataFrame] | None = None
    _sectors: dict[str, str] | None = None
    _recent_of: tuple[date, date] | None = None
    _recent: dict[str, list[dict[str, Any]]]
    _workers: int

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """Slow facts of one stock; from the master files of today where KIS has no such service."""
        checked(stock_code)
        try:
            facts = self._kis.stock_info(stock_code)
        except NotSupported:
            return self._listed(stock_code)
        return StockInfo(
            stock_code=stock_code,
            stock_name=facts["stock_name"],
            market=facts["market"],
            sector=_sector(facts),
            industry=facts["industry"],
            listed_shares=facts["listed_shares"],
            face_value=facts["face_value"],
        )

    def _listed(self, stock_code: str) -> StockInfo:
        """Slow facts of one stock, from the master files of today."""
        today = self._settings.now().date()
        if self._master is None or self._master[0] != today:
            self._master = (today, self._kis.issues())
        found = self._master[1].filter(pl.col("stock_code") == stock_code)
        if found.is_empty():
            raise InvalidRequest("no stock of this code is listed", stock_code=stock_code)
        row = found.row(0, named=True)
        return StockInfo(
            stock_code=stock_code,
            stock_name=row["stock_name"],
            market=row["market"],
            sector=_sector(self._with_sectors(row)),
            listed_shares=row["listed_shares"],
            face_value=row["face_value"],
        )

    def _with_sectors(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the master files with the names of its sectors, where they can be had."""
        if self._sectors is None:
            try:
                self._sectors = self._kis.sector_names()
            except KISError as error:
                log.warning("no names of sectors: %s", error)
                self._sectors = {}
        sizes = ("large", "medium", "small")
        return row | {
            f"sector_{size}_name": self._sectors.get(row[f"sector_{size}"] or "") for size in sizes
        }

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Every listed issue of KOSPI, KOSDAQ and KONEX, from three files that need no key.

        On NXT, those that it trades: two files more.
        """
        issues = self._kis.issues().with_columns(trading_day=pl.lit(trading_day))
        if self._settings.kis_venue is Venue.NXT:
            issues = issues.filter(pl.col("stock_code").is_in(sorted(self._kis.nxt_codes())))
        return self._stamped(issues, STOCK_MASTER.schema)

    def stock_info(
        self, stocks: pl.DataFrame, month: date, progress: Progress | None = None
    ) -> Fetched:
        """Slow facts of `stocks`: one a request, or the master files where KIS has no such service.

        What the master files lack is null, and the number of shares is to the thousand there.
        """
        rows: list[dict[str, Any]] = []
        same = {"info_month": month.replace(day=1), "source": self.name}

        def take(code: str, facts: dict[str, Any]) -> None:
            known = {"known_from": "search-stock-info", "fetched_at": self._settings.now()}
            rows.append(facts | same | known)

        codes = stocks["stock_code"].to_list()
        try:
            failed = each(
                codes,
                lambda code: self._kis.stock_info(code, PATIENCE),
                take,
                workers=self._workers,
                rest=self._rest,
                progress=None
                if progress is None
                else lambda done, code: progress(done, len(codes), code),
            )
        except NotSupported as error:
            log.warning("stock info comes from the master files: %s", error)
            known = {"known_from": "master", "fetched_at": self._settings.now()}
            rows = [facts | same | known for facts in self._facts_of_masters(stocks)]
            return Fetched(answers.frame(rows, STOCK_INFO.schema))
        absent = {
            code: "KIS knows no such stock"
            for code, error in failed.items()
            if isinstance(error, InvalidRequest)
        }
        for code in absent:
            del failed[code]
        return Fetched(answers.frame(rows, STOCK_INFO.schema), failed, absent)

    def _facts_of_masters(self, stocks: pl.DataFrame) -> Iterator[dict[str, Any]]:
        try:
            traded_on_nxt = self._kis.nxt_codes()
        except (ServiceUnavailable, UnexpectedAnswer) as error:
            # No document of KIS's own names these two files: what they say is not all there is.
            log.warning("not known what NXT trades: %s", error)
            traded_on_nxt = None
        for row in stocks.iter_rows(named=True):
            market, sector = row["market"].lower(), row["kospi200_sector"]
            is_share = row["security_group"] in ("ST", "KN", "FS")
            is_preferred = row["security_type"] == "preferred"
            yield self._with_sectors(row) | {
                f"listed_on_{market}": row["listed_on"],
                "kind_of_share": ("preferred" if is_preferred else "common") if is_share else None,
                "in_kospi200": None if sector is None else sector != "0",
                "on_nxt": None if traded_on_nxt is None else row["stock_code"] in traded_on_nxt,
            }

    def market_days(self, first: date, last: date) -> dict[date, bool]:
        """Whether the exchange opens, for each day from `first` at least as far as KIS tells.

        KIS wants to be asked about once a day.
        """
        return self._kis.calendar(first, last)

    def corporate_actions(self, month: date) -> pl.DataFrame:
        """Rows of `corporate_actions` that took effect in a month, as the depository has them.

        Six lists of all stocks, for the months in which they may have been announced. Actions of
        issues without a short code of six characters, which are not listed, are left out.

        Raises:
            UnexpectedAnswer: a list that cannot be right; nothing of any list is given then.
        """
        found: list[dict[str, Any]] = []
        for asked in ACTION_LISTS:
            # One month later as well: an ex-day comes before its record day.
            for number in range(-ANNOUNCED_BEFORE, 2):
                found += self._kis.corporate_actions(asked, *_month(month, number))
        frame = answers.frame(found, CORPORATE_ACTIONS.schema)
        key = [name for name in CORPORATE_ACTIONS.key if name != "sequence"]
        listed = pl.col("stock_code").str.contains(r"^[0-9A-Z]{6}$")
        rows = (
            frame.filter(listed & pl.col("effective_on").is_between(*_month(month)))
            # A row that stands in the lists of two months is one row.
            .unique(maintain_order=True)
            .with_columns(sequence=pl.int_range(pl.len()).over(key))
        )
        return self._stamped(rows, CORPORATE_ACTIONS.schema)

    def recent_candles(
        self, stock_codes: Collection[str], progress: Progress | None = None
    ) -> Fetched:
        """See `AbstractDataSource.recent_candles`: inquire-daily-price, a request a stock.

        Once the last trade of a day is over, an answer serves until the next session opens, or
        until another day's candles become final.
        """
        now = self._settings.now()
        session = calendar.latest_session(now)
        settled = None
        if session.over_at <= now:
            settled = (session.day, finality.newest_final_day(now))
        if settled is None or settled != self._recent_of:
            self._recent_of, self._recent = settled, {}
        known = self._recent

        def ask(code: str) -> list[dict[str, Any]]:
            if code not in known:
                known[code] = self._kis.recent_days(code, PATIENCE)
            return known[code]

        return self._days(
            stock_codes,
            ask,
            ("open", "high", "low", "close", "volume", "change"),
            progress,
        )

    def adjusted_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `AbstractDataSource.adjusted_candles`: the daily chart, a request a stock."""
        return self._days(
            stock_codes,
            lambda code: self._kis.daily_page(code, first, last, patience=PATIENCE, adjusted=True),
            ("close",),
            progress,
        )

    def _days(
        self,
        stock_codes: Collection[str],
        ask: Callable[[str], list[dict[str, Any]]],
        columns: tuple[str, ...],
        progress: Progress | None,
    ) -> Fetched:
        rows: list[dict[str, Any]] = []
        failed = each(
            several(stock_codes),
            ask,
            lambda code, bars: rows.extend(bar | {"stock_code": code} for bar in bars),
            workers=self._workers,
            rest=self._rest,
            progress=progress and (lambda done, code: progress(done, len(stock_codes), code)),
        )
        schema = {"trading_day": pl.Date, "stock_code": pl.String}
        schema |= dict.fromkeys(columns, pl.Int64)
        return Fetched(answers.frame(rows, pl.Schema(schema)), failed)

    def _stamped(
        self, frame: pl.DataFrame, schema: pl.Schema, fetched_at: datetime | None = None
    ) -> pl.DataFrame:
        return frame.with_columns(
            source=pl.lit(self.name),
            fetched_at=pl.lit(
                (fetched_at or self._settings.now()).astimezone(UTC), schema["fetched_at"]
            ),
        ).select(schema.names())


def _sector(facts: dict[str, Any]) -> str | None:
    """The name of the sector. The large class is that of the size and names none."""
    return facts["sector_medium_name"] or facts["sector_small_name"]


def _month(day: date, later: int = 0) -> tuple[date, date]:
    """First and last day of the month that lies so many months after that of `day`."""
    number = day.year * 12 + day.month - 1 + later
    first = date(number // 12, number % 12 + 1, 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)

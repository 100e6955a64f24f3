"""KIS as a source for assets: its answers as rows of tables. Making requests is the client's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import polars as pl

from kis_assets.errors import InvalidRequest, KISError, NotSupported, UnexpectedAnswer
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.finality import Told
from kis_assets.exchange.venues import Venue, session_at
from kis_assets.kis import answers, minute_candles
from kis_assets.kis.answers_reference import ACTION_LISTS
from kis_assets.kis.client import Client
from kis_assets.kis.fields import LARGEST
from kis_assets.kis.quotations import Quotations
from kis_assets.sources.batch import several
from kis_assets.sources.listing import Listing
from kis_assets.sources.resume import History
from kis_assets.sources.tables import Fetched, TableSource
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_INFO,
    STOCK_MASTER,
)
from kis_assets.transport.fan_out import Progress, counted, each

log = logging.getLogger(__name__)

V = TypeVar("V")

PATIENCE = 900.0
"""Seconds that a request among thousands stands in the quota's queue: captures go before it."""
WITNESSES = 3
"""Stocks asked whether there is a session on a day."""
ANNOUNCED_BEFORE = 2
"""Months before the one in which an action takes effect whose announcements are looked through:
the lists go by record date, and a halt for a split or a merger lasts weeks."""
NO_BAR = "KIS has no bar of it in these days"
NO_STOCK = "KIS knows no such stock"
_MINUTE_COLUMNS = (
    *("started_at", "session"),
    *("open", "high", "low", "close", "volume", "trading_value"),
)
_BLOCK = 100
"""Stocks whose minutes are put together at once."""


class KISTables(TableSource):
    """Rows of KIS's real or virtual server; `history` knows what was fetched before."""

    name = "kis"

    def __init__(
        self, client: Client, kis: Quotations, listing: Listing, history: History, workers: int
    ) -> None:
        self._client, self._settings = client, client.settings
        self._kis, self._listing, self._history = kis, listing, history
        self._workers = workers
        self.name = self._settings.kis_venue.named(self.name)
        self._recent_of: tuple[date, date] | None = None
        self._recent: dict[str, list[dict[str, Any]]] = {}

    # What changes slowly

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

        def take(_code: str, facts: dict[str, Any]) -> None:
            known = {"known_from": "search-stock-info", "fetched_at": self._settings.now()}
            rows.append(facts | same | known)

        try:
            failed = self._each(
                stocks["stock_code"],
                lambda code: self._kis.stock_info(code, PATIENCE),
                take,
                progress,
            )
        except NotSupported as error:
            log.warning("stock info comes from the master files: %s", error)
            known = {"known_from": "master", "fetched_at": self._settings.now()}
            rows = [facts | same | known for facts in self._listing.facts(stocks)]
            return Fetched(answers.frame(rows, STOCK_INFO.schema))
        absent = _unknown(failed, NO_STOCK)
        return Fetched(answers.frame(rows, STOCK_INFO.schema), failed, absent)

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

    # What the market shows now

    def price_snapshots(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Quotes of `stocks`: 30 a request (real server) or one by one (virtual server)."""
        self._refuse_another_day(stocks, trading_day)
        codes = stocks["stock_code"].to_list()
        listed = {row["stock_code"]: row for row in stocks.iter_rows(named=True)}
        quotes: dict[str, dict[str, Any]] = {}

        def take(code: str, quote: dict[str, Any]) -> None:
            value = market_cap(quote["price"], listed[code]["listed_shares"])
            own = {"stock_name": listed[code]["stock_name"], "market_cap": value}
            quotes[code] = quote | own | self._seen(code, trading_day, captured_at)

        failed = self._kis.each_price(
            codes, take, workers=self._workers, patience=PATIENCE, progress=progress
        )
        absent = _unknown(failed, "KIS has no price of it")
        rows = [quotes[code] for code in codes if code in quotes]
        return Fetched(answers.frame(rows, PRICE_SNAPSHOTS.schema), failed, absent)

    def order_books(
        self,
        stocks: pl.DataFrame,
        trading_day: date,
        captured_at: datetime,
        progress: Progress | None = None,
    ) -> Fetched:
        """Order books of `stocks`: one a request, so that they are minutes apart."""
        self._refuse_another_day(stocks, trading_day)
        rows: list[dict[str, Any]] = []
        failed = self._each(
            stocks["stock_code"],
            lambda code: self._kis.order_book(code, trading_day, self._settings.now(), PATIENCE),
            lambda code, book: rows.append(book | self._seen(code, trading_day, captured_at)),
            progress,
        )
        absent = _unknown(failed, "KIS has no order book of it")
        return Fetched(answers.frame(rows, ORDER_BOOKS.schema), failed, absent)

    def _seen(self, stock_code: str, trading_day: date, captured_at: datetime) -> dict[str, Any]:
        """What stands beside a quote and a book: when it was seen, and in which session."""
        now = self._settings.now()
        return {
            "stock_code": stock_code,
            "trading_day": trading_day,
            "captured_at": captured_at,
            "fetched_at": now,
            "session": session_at(trading_day, now, self._settings.kis_venue),
            "source": self.name,
        }

    def _refuse_another_day(self, stocks: pl.DataFrame, trading_day: date) -> None:
        """Quotes carry no date: see from the daily bars of busy stocks whether it is that day's.

        A holiday decreed at short notice is in no calendar, and KIS goes on showing the prices of
        the day before.
        """
        witnesses = stocks.sort("previous_volume", descending=True, nulls_last=True)
        doubts: list[str] = []
        for code in witnesses["stock_code"].head(WITNESSES):
            try:
                if self._kis.daily_page(
                    code, trading_day, trading_day, live=True, patience=PATIENCE
                ):
                    return
            except KISError as error:
                # A capture cannot be had later: what merely could not be checked does not stop it.
                log.warning("cannot check that %s is a session: %s", trading_day, error)
                return
            doubts.append(code)
        if doubts:
            raise UnexpectedAnswer(
                f"KIS has no bar of {trading_day} for {', '.join(doubts)}: there is no session "
                "on that day, or it has not begun"
            )

    # History

    def minute_candles(
        self,
        stock_codes: Collection[str],
        trading_day: date,
        progress: Progress | None = None,
        regular_only: Collection[str] = (),
    ) -> Fetched:
        """Minutes of one day: up to 6 requests a stock, 4 without an after-market.

        From the chart of today it is 21 and 13: that serves the regular session while it runs, and
        is all that the virtual server has.
        """
        minute_candles.kept_session(trading_day, self._client.now())
        without = frozenset(regular_only)
        found: dict[str, tuple[pl.DataFrame, datetime]] = {}
        absent: dict[str, str] = {}

        def take(code: str, bars: list[dict[str, Any]]) -> None:
            if not bars:
                absent[code] = "KIS has no minute of it on this day"
                return
            rows = pl.DataFrame(
                bars, {name: MINUTE_CANDLES.schema[name] for name in _MINUTE_COLUMNS}
            )
            found[code] = rows, bars[0].get("fetched_at") or self._settings.now()

        failed = self._each(
            stock_codes,
            lambda code: self._history.bars(
                code,
                f"minutes:{trading_day}",
                trading_day,
                lambda: self._kis.minutes(
                    code, trading_day, PATIENCE, regular_only=code in without
                ),
                self._client.tally,
            ),
            take,
            progress,
        )
        absent |= _unknown(failed, NO_STOCK)
        return Fetched(self._minute_rows(found, trading_day), failed, absent)

    def _minute_rows(
        self, found: dict[str, tuple[pl.DataFrame, datetime]], trading_day: date
    ) -> pl.DataFrame:
        """One frame out of one a stock, in the order in which the lake stores them.

        It empties `found`. Half a million rows: what is in order need not be sorted, and frames
        by the thousand take twice the memory of a few.
        """
        blocks = [MINUTE_CANDLES.empty()]
        codes = sorted(found)
        for start in range(0, len(codes), _BLOCK):
            block: list[pl.DataFrame] = []
            for code in codes[start : start + _BLOCK]:
                rows, fetched_at = found.pop(code)
                rows = rows.with_columns(trading_day=pl.lit(trading_day), stock_code=pl.lit(code))
                block.append(self._stamped(rows, MINUTE_CANDLES.schema, fetched_at))
            blocks.append(pl.concat(block, rechunk=True))
        return pl.concat(blocks)

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Raw daily bars: a request for up to 100 days of a stock.

        Those of the day before are only called final where what KIS states beside them agrees.
        """
        frames: list[pl.DataFrame] = []
        absent: dict[str, str] = {}
        told: list[Told] = []
        # Which close KIS states on another venue is not known.
        is_krx = self._settings.kis_venue is Venue.KRX
        doubted = finality.doubted_day(self._settings.now()) if is_krx else None

        def take(code: str, bars: list[dict[str, Any]]) -> None:
            if not bars:
                absent[code] = NO_BAR
                return
            told.extend(
                Told(code, bar["close"], bar["base_price"], bar.get("stated_close"))
                for bar in bars
                if bar["trading_day"] == doubted
            )
            rows = answers.frame([bar | {"stock_code": code} for bar in bars], DAILY_CANDLES.schema)
            frames.append(self._stamped(rows, DAILY_CANDLES.schema, bars[0].get("fetched_at")))

        failed = self._each(
            stock_codes,
            lambda code: self._history.bars(
                code,
                f"days:{first}:{last}",
                last,
                lambda: self._kis.daily_candles(code, first, last, PATIENCE),
                self._client.tally,
            ),
            take,
            progress,
        )
        absent |= _unknown(failed, NO_STOCK)
        rows = pl.concat(frames) if frames else DAILY_CANDLES.empty()
        return Fetched(_without_doubt(rows, told, doubted), failed, absent)

    def keep_daily_candles(
        self, stock_codes: Collection[str], rows: pl.DataFrame, first: date, last: date
    ) -> None:
        """See `TableSource.keep_daily_candles`."""
        found: dict[str, list[dict[str, Any]]] = {code: [] for code in stock_codes}
        inside = rows.filter(
            pl.col("trading_day").is_between(first, last), pl.col("stock_code").is_in(list(found))
        )
        for bar in inside.sort("trading_day", descending=True).iter_rows(named=True):
            found[bar["stock_code"]].append(bar)
        self._history.keep(found, f"days:{first}:{last}", last)

    def history_is_stored(self, first: date, last: date) -> None:
        """See `TableSource.history_is_stored`."""
        self._history.forget(f"days:{first}:{last}")
        self._history.forget(f"minutes:{last}")

    # To compare with

    def recent_candles(
        self, stock_codes: Collection[str], progress: Progress | None = None
    ) -> Fetched:
        """See `TableSource.recent_candles`: inquire-daily-price, a request a stock.

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

        columns = ("open", "high", "low", "close", "volume", "change")
        return self._days(stock_codes, ask, columns, progress)

    def adjusted_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """See `TableSource.adjusted_candles`: the daily chart, a request a stock."""
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
        failed = self._each(
            stock_codes,
            ask,
            lambda code, bars: rows.extend(bar | {"stock_code": code} for bar in bars),
            progress,
        )
        schema = {"trading_day": pl.Date, "stock_code": pl.String}
        schema |= dict.fromkeys(columns, pl.Int64)
        return Fetched(answers.frame(rows, pl.Schema(schema)), failed)

    def _each(
        self,
        stock_codes: Collection[str],
        ask: Callable[[str], V],
        take: Callable[[str, V], None],
        progress: Progress | None,
    ) -> dict[str, KISError]:
        return each(
            several(stock_codes),
            ask,
            take,
            workers=self._workers,
            rest=self._client.wait_for_breaker,
            progress=counted(progress, len(stock_codes)),
        )

    def _stamped(
        self, frame: pl.DataFrame, schema: pl.Schema, fetched_at: datetime | None = None
    ) -> pl.DataFrame:
        return frame.with_columns(
            source=pl.lit(self.name),
            fetched_at=pl.lit(
                (fetched_at or self._settings.now()).astimezone(UTC), schema["fetched_at"]
            ),
        ).select(schema.names())


def market_cap(price: int, shares: int | None) -> int | None:
    """What a company is worth; None where its shares are not known.

    Raises:
        UnexpectedAnswer: no company is worth so much.
    """
    value = price * shares if shares else None
    if value is not None and value > LARGEST:
        raise UnexpectedAnswer(
            f"{shares:,} shares at {price:,} KRW are worth more than any company"
        )
    return value


def _without_doubt(rows: pl.DataFrame, told: list[Told], day: date | None) -> pl.DataFrame:
    """Rows of which none is called final that the correction of last night has not come to."""
    late = finality.not_corrected(told)
    if not late:
        return rows
    log.warning("the close of %s is not yet the regular session's for %d stocks", day, len(late))
    is_late = (pl.col("trading_day") == day) & pl.col("stock_code").is_in(sorted(late))
    return rows.with_columns(is_final=pl.col("is_final") & ~is_late)


def _unknown(failed: dict[str, KISError], reason: str) -> dict[str, str]:
    """Take out of `failed` what KIS does not know: nothing went wrong there."""
    unknown = [code for code, error in failed.items() if isinstance(error, InvalidRequest)]
    for code in unknown:
        del failed[code]
    return dict.fromkeys(unknown, reason)


def _month(day: date, later: int = 0) -> tuple[date, date]:
    """First and last day of the month that lies so many months after that of `day`."""
    number = day.year * 12 + day.month - 1 + later
    first = date(number // 12, number % 12 + 1, 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)

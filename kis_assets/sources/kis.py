"""KIS as a source: which requests make a table or a record. Making them is the client's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import httpx
import polars as pl

from kis_assets.errors import InvalidRequest, KISError, NotSupported, UnexpectedAnswer
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.finality import Told
from kis_assets.exchange.venues import Venue, latest_session, session_at
from kis_assets.kis import answers, endpoints
from kis_assets.kis import minute_candles as minutes
from kis_assets.kis.client import Client
from kis_assets.kis.fields import LARGEST
from kis_assets.kis.quotations import Quotations
from kis_assets.monitoring.status import snapshot
from kis_assets.settings import Settings
from kis_assets.sources import chart_data
from kis_assets.sources.base import (
    ChartData,
    CurrentPrice,
    Fetched,
    OrderBook,
    OrderBookLevel,
    PriceType,
    Progress,
    StockInfo,
)
from kis_assets.sources.batch import Batch, BatchResult, checked, several
from kis_assets.sources.reference import PATIENCE, KISReference
from kis_assets.sources.resume import History
from kis_assets.tables import (
    DAILY_CANDLES,
    LEVELS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
)
from kis_assets.transport.fan_out import each

log = logging.getLogger(__name__)

V = TypeVar("V")

WITNESSES = 3
"""Stocks asked whether there is a session on a day."""
MASTER_RESTS = 60.0
"""Seconds for which names are done without after the master files could not be had."""
_MINUTE_COLUMNS = (
    "started_at",
    "session",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "trading_value",
)
_BLOCK = 100
"""Stocks whose minutes are put together at once."""


NO_BAR = "KIS has no bar of it in these days"


class KISDataSource(KISReference):
    """Market data of KIS's real or virtual server.

    `transport` replaces the network, `workers` bounds the requests in flight, `state_dir` is where
    processes share token and quota, and without `has_quota` no limit holds: for simulators.
    `history` knows what was fetched before.
    """

    name = "kis"

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.BaseTransport | None = None,
        workers: int = 10,
        state_dir: Path | None = None,
        has_quota: bool = True,
        history: History | None = None,
    ) -> None:
        self._settings = settings
        self._history = history or History(settings)
        self._client = Client(
            settings, transport=transport, state_dir=state_dir, has_quota=has_quota
        )
        self._kis = Quotations(self._client, settings.kis_venue)
        self.name = settings.kis_venue.named(self.name)
        self._workers = workers
        self._recent = {}
        self._master_lock = Lock()
        self._master_rests_until = 0.0
        self.tally = self._client.tally

    def close(self) -> None:
        """Close connections and the files that processes share."""
        self._client.close()

    def standing(self) -> dict[str, Any]:
        """See `AbstractDataSource.standing`."""
        return snapshot(self._settings)

    # For programs that ask for one stock

    def get_current_price(self, stock_code: str, venue: Venue | None = None) -> CurrentPrice:
        """The quote of one stock now; name and market cap come from the master files."""
        quote = self._kis.price(checked(stock_code), venue=venue)
        return self._current_price(stock_code, quote, venue)

    def get_current_prices_batch(
        self,
        stock_codes: Iterable[str],
        max_workers: int | None = None,
        progress_callback: Progress | None = None,
    ) -> BatchResult[CurrentPrice]:
        """The quotes of many stocks: 30 a request (real server) or one by one (virtual server)."""
        batch = Batch[CurrentPrice](stock_codes, "prices", progress_callback)
        failed = self._quotes(
            batch.codes,
            lambda code, quote: batch.took(code, self._current_price(code, quote)),
            workers=max(1, max_workers or self._workers),
        )
        for code, error in failed.items():
            batch.refused(code, error)
        return batch.result()

    def _current_price(
        self, stock_code: str, quote: Mapping[str, Any], venue: Venue | None = None
    ) -> CurrentPrice:
        about = self._about(stock_code)
        now, asked = self._settings.now(), venue or self._settings.kis_venue
        shares = quote.get("listed_shares") or about.listed_shares
        return CurrentPrice(
            stock_code=stock_code,
            stock_name=quote.get("stock_name") or about.stock_name or "",
            current_price=quote["price"],
            change_price=quote["change"],
            change_rate=quote["change_rate"],
            open_price=quote["open"],
            high_price=quote["high"],
            low_price=quote["low"],
            volume=quote["volume"],
            trading_value=quote["trading_value"],
            market_cap=_market_cap(quote["price"], shares),
            timestamp=now.isoformat(timespec="seconds"),
            session=session_at(latest_session(now, asked).day, now, asked),
        )

    def _about(self, stock_code: str) -> StockInfo:
        """What the master files say; a quote is worth having without it."""
        if time.monotonic() < self._master_rests_until:
            return StockInfo(stock_code)
        try:
            with self._master_lock:  # one download for all threads
                return self._listed(stock_code)
        except InvalidRequest:
            return StockInfo(stock_code)
        except KISError as error:
            # Thousands of quotes must not each wait for files that cannot be had.
            self._master_rests_until = time.monotonic() + MASTER_RESTS
            log.warning("no name of %s: %s", stock_code, error)
            return StockInfo(stock_code)

    def get_order_book(self, stock_code: str, venue: Venue | None = None) -> OrderBook:
        """The order book of one stock now; the name comes from the master files."""
        checked(stock_code)
        now = self._settings.now()
        book = self._kis.order_book(stock_code, calendar.latest_session(now).day, now, venue=venue)
        return OrderBook(
            stock_code=stock_code,
            stock_name=self._about(stock_code).stock_name or "",
            bid_levels=_levels(book, "bid"),
            ask_levels=_levels(book, "ask"),
            total_bid_volume=book["total_bid_volume"],
            total_ask_volume=book["total_ask_volume"],
            timestamp=self._settings.now().isoformat(timespec="seconds"),
            expected_price=book["expected_price"],
            expected_volume=book["expected_volume"],
        )

    def get_chart_data(
        self,
        stock_code: str,
        period: PriceType = PriceType.DAILY,
        count: int = 100,
        venue: Venue | None = None,
    ) -> list[ChartData]:
        """The newest `count` bars, newest first; only what they need is asked for."""
        checked(stock_code)
        chart_data.checked(period, count)
        bars = (
            self._each_minute(stock_code, venue)
            if period in chart_data.BUCKETS
            else self._kis.each_daily(
                stock_code, calendar.FIRST_DAY, self._settings.now().date(), venue=venue
            )
        )
        return chart_data.chart(stock_code, bars, period, count)

    def _each_minute(self, stock_code: str, venue: Venue | None) -> Iterator[dict[str, Any]]:
        """Minutes, newest first, session by session as far back as this server has them."""
        now = self._client.now()
        latest = calendar.latest_session(now).day
        if self._client.environment == "virtual":
            yield from reversed(self._minutes(stock_code, latest, venue=venue))
            log.info("%s: the virtual server has the minutes of %s only", stock_code, latest)
            return
        # The days say on which of them there is something to ask for.
        for day in self._kis.each_daily(stock_code, minutes.oldest_kept(now), latest, venue=venue):
            if day["has_traded"]:
                yield from reversed(self._minutes(stock_code, day["trading_day"], venue=venue))

    def _minutes(
        self,
        stock_code: str,
        day: date,
        patience: float | None = None,
        venue: Venue | None = None,
        *,
        regular_only: bool = False,
    ) -> list[dict[str, Any]]:
        """The traded minutes of a day, oldest first, from the chart that has them.

        Of other venues than KRX those of the regular session.
        """
        regular_only |= (venue or self._settings.kis_venue) is not Venue.KRX
        now = self._settings.now()
        at_kis = self._client.at_kis(now)
        session = minutes.kept_session(day, at_kis)
        is_virtual = self._client.environment == "virtual"
        if at_kis > session.closes_at + minutes.EXTENSION and not is_virtual:
            return self._kis.past_minutes(
                stock_code, session, now, patience, venue, regular_only=regular_only
            )
        live = calendar.live_session(at_kis)
        if live is None or live.day != day:
            raise NotSupported(
                f"the virtual server has no minutes of past days, such as {day}; the real one has "
                "(KIS_USE_VIRTUAL_SERVER=false)"
            )
        return self._kis.todays_minutes(
            stock_code, session, now, patience, venue, regular_only=regular_only
        )

    # For the assets

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
        shares = dict(stocks.select("stock_code", "listed_shares").iter_rows())
        quotes: dict[str, dict[str, Any]] = {}

        def take(code: str, quote: dict[str, Any]) -> None:
            value = _market_cap(quote["price"], shares[code])
            quotes[code] = quote | {"market_cap": value, "fetched_at": self._settings.now()}

        failed = self._quotes(codes, take, self._workers, PATIENCE, progress)
        absent = _unknown(failed, "KIS has no price of it")
        return Fetched(
            self._snapshot_rows(stocks, quotes, trading_day, captured_at), failed, absent
        )

    def _quotes(
        self,
        codes: list[str],
        take: Callable[[str, dict[str, Any]], None],
        workers: int,
        patience: float | None = None,
        progress: Progress | None = None,
    ) -> dict[str, KISError]:
        """Hand the quote of each stock to `take`; what failed is returned, the unknown among it."""
        failed: dict[str, KISError] = {}
        taken: set[str] = set()

        def receive(asked: tuple[str, ...], found: Mapping[str, dict[str, Any] | KISError]) -> None:
            for code in asked:
                quote = found.get(code)
                if isinstance(quote, KISError):
                    failed[code] = quote
                elif quote is not None:
                    try:
                        take(code, quote)
                    except UnexpectedAnswer as error:
                        failed[code] = error
                        continue
                    failed.pop(code, None)
                    taken.add(code)

        if self._client.environment == "real":
            refused = each(
                _batches(codes),
                lambda asked: self._kis.prices(asked, patience),
                receive,
                workers=workers,
                rest=self._rest,
                progress=_by_last_code(progress, len(codes)),
            )
            failed |= {code: error for asked, error in refused.items() for code in asked}
        # KIS leaves out codes now and then, and tells an unknown one only when asked for it alone;
        # and one wrong row of thirty, of a capture that cannot be had later, is not to cost thirty.
        left = [
            code
            for code in codes
            if code not in taken and isinstance(failed.get(code), UnexpectedAnswer | None)
        ]
        return failed | each(
            left,
            lambda code: {code: self._kis.price(code, patience)},
            lambda code, found: receive((code,), found),
            workers=workers,
            rest=self._rest,
            progress=None
            if progress is None
            else lambda done, code: progress(len(codes) - len(left) + done, len(codes), code),
        )

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
        same = {"trading_day": trading_day, "captured_at": captured_at, "source": self.name}

        def take(code: str, book: dict[str, Any]) -> None:
            seen_at = self._settings.now()
            session = session_at(trading_day, seen_at, self._settings.kis_venue)
            own = {"stock_code": code, "fetched_at": seen_at, "session": session}
            rows.append(book | same | own)

        failed = self._each(
            stocks["stock_code"],
            lambda code: self._kis.order_book(code, trading_day, self._settings.now(), PATIENCE),
            take,
            progress,
        )
        absent = _unknown(failed, "KIS has no order book of it")
        return Fetched(answers.frame(rows, ORDER_BOOKS.schema), failed, absent)

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
        minutes.kept_session(trading_day, self._client.now())
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
                lambda: self._minutes(code, trading_day, PATIENCE, regular_only=code in without),
                self.tally,
            ),
            take,
            progress,
        )
        absent |= _unknown(failed, "KIS knows no such stock")
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
            rest=self._rest,
            progress=None
            if progress is None
            else lambda done, code: progress(done, len(stock_codes), code),
        )

    def _rest(self) -> None:
        self._client.wait_for_breaker()

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
            frames.append(
                self._stamped(
                    answers.frame(
                        [bar | {"stock_code": code} for bar in bars], DAILY_CANDLES.schema
                    ),
                    DAILY_CANDLES.schema,
                    bars[0].get("fetched_at"),
                )
            )

        failed = self._each(
            stock_codes,
            lambda code: self._history.bars(
                code,
                f"days:{first}:{last}",
                last,
                lambda: self._kis.daily_candles(code, first, last, PATIENCE),
                self.tally,
            ),
            take,
            progress,
        )
        absent |= _unknown(failed, "KIS knows no such stock")
        rows = pl.concat(frames) if frames else DAILY_CANDLES.empty()
        return Fetched(self._without_doubt(rows, told, doubted), failed, absent)

    def _without_doubt(
        self, rows: pl.DataFrame, told: list[Told], day: date | None
    ) -> pl.DataFrame:
        """Rows of which none is called final that the correction of last night has not come to."""
        late = finality.not_corrected(told)
        if not late:
            return rows
        log.warning(
            "the close of %s is not yet the regular session's for %d stocks", day, len(late)
        )
        is_late = (pl.col("trading_day") == day) & pl.col("stock_code").is_in(sorted(late))
        return rows.with_columns(is_final=pl.col("is_final") & ~is_late)

    def keep_daily_candles(
        self, stock_codes: Collection[str], rows: pl.DataFrame, first: date, last: date
    ) -> None:
        """See `AbstractDataSource.keep_daily_candles`."""
        found: dict[str, list[dict[str, Any]]] = {code: [] for code in stock_codes}
        inside = rows.filter(
            pl.col("trading_day").is_between(first, last), pl.col("stock_code").is_in(list(found))
        )
        for bar in inside.sort("trading_day", descending=True).iter_rows(named=True):
            found[bar["stock_code"]].append(bar)
        self._history.keep(found, f"days:{first}:{last}", last)

    def history_is_stored(self, first: date, last: date) -> None:
        """See `AbstractDataSource.history_is_stored`."""
        self._history.forget(f"days:{first}:{last}")
        self._history.forget(f"minutes:{last}")

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

    def _snapshot_rows(
        self,
        stocks: pl.DataFrame,
        quotes: Mapping[str, Mapping[str, Any]],
        trading_day: date,
        captured_at: datetime,
    ) -> pl.DataFrame:
        rows = [
            {
                **quote,
                "trading_day": trading_day,
                "captured_at": captured_at,
                "stock_code": stock["stock_code"],
                "stock_name": stock["stock_name"],
                "session": session_at(trading_day, quote["fetched_at"], self._settings.kis_venue),
                "source": self.name,
            }
            for stock in stocks.iter_rows(named=True)
            if (quote := quotes.get(stock["stock_code"])) is not None
        ]
        return answers.frame(rows, PRICE_SNAPSHOTS.schema)


def _market_cap(price: int, shares: int | None) -> int | None:
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


def _levels(book: Mapping[str, Any], side: str) -> tuple[OrderBookLevel, ...]:
    """The levels that there are."""
    return tuple(
        OrderBookLevel(price, book[f"{side}_volume_{n}"])
        for n in range(1, LEVELS + 1)
        if (price := book[f"{side}_price_{n}"]) is not None
    )


def _unknown(failed: dict[str, KISError], reason: str) -> dict[str, str]:
    """Take out of `failed` what KIS does not know: nothing went wrong there."""
    unknown = [code for code, error in failed.items() if isinstance(error, InvalidRequest)]
    for code in unknown:
        del failed[code]
    return dict.fromkeys(unknown, reason)


def _batches(codes: list[str]) -> list[tuple[str, ...]]:
    size = endpoints.CODES_A_REQUEST
    return [tuple(codes[start : start + size]) for start in range(0, len(codes), size)]


def _by_last_code(progress: Progress | None, total: int) -> Any:
    if progress is None:
        return None

    def report(batches: int, codes: tuple[str, ...]) -> None:
        progress(min(total, batches * endpoints.CODES_A_REQUEST), total, codes[-1])

    return report

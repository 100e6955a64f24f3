"""KIS as a source: which requests make a table or a record. Making them is the client's."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from kis_assets import krx
from kis_assets.kis import answers, endpoints
from kis_assets.kis.client import Client
from kis_assets.kis.errors import InvalidRequest, KISError, NotSupported, UnexpectedAnswer
from kis_assets.kis.quotations import Quotations
from kis_assets.settings import Settings
from kis_assets.sources.base import (
    AbstractDataSource,
    ChartData,
    CurrentPrice,
    Fetched,
    PriceType,
    Progress,
    StockInfo,
)
from kis_assets.sources.bulk import each
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS, STOCK_MASTER

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds that a request among thousands stands in the quota's queue: captures go before it."""
WITNESSES = 3
"""Stocks asked whether there is a session on a day."""


class KISDataSource(AbstractDataSource):
    """Market data of KIS's real or virtual server.

    `transport` replaces the network, `workers` bounds the requests in flight, `state_dir` is where
    processes share token and quota, and without `has_quota` no limit holds: for simulators.
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
    ) -> None:
        self._settings = settings
        self._client = Client(
            settings, transport=transport, state_dir=state_dir, has_quota=has_quota
        )
        self._kis = Quotations(self._client)
        self._workers = workers
        self._master: tuple[date, pl.DataFrame] | None = None
        self.tally = self._client.tally

    def close(self) -> None:
        """Close connections and the files that processes share."""
        self._client.close()

    # For programs that ask for one stock

    def get_current_price(self, stock_code: str) -> CurrentPrice:
        """The quote of one stock now; name and market cap come from the master files."""
        quote = self._kis.price(_checked(stock_code))
        shares = quote["listed_shares"]
        return CurrentPrice(
            stock_code=stock_code,
            stock_name=self._name(stock_code),
            current_price=quote["price"],
            change_price=quote["change"],
            change_rate=quote["change_rate"],
            open_price=quote["open"],
            high_price=quote["high"],
            low_price=quote["low"],
            volume=quote["volume"],
            trading_value=quote["trading_value"],
            market_cap=quote["price"] * shares if shares else None,
            timestamp=self._settings.now().isoformat(timespec="seconds"),
        )

    def _name(self, stock_code: str) -> str:
        """The name in the master files; a quote is worth having without it."""
        try:
            return self.get_stock_info(stock_code).stock_name or ""
        except KISError as error:
            log.warning("no name of %s: %s", stock_code, error)
            return ""

    def get_chart_data(
        self, stock_code: str, period: PriceType = PriceType.DAILY, count: int = 100
    ) -> list[ChartData]:
        """The newest `count` daily bars, newest first."""
        _checked(stock_code)
        if count < 1:
            raise InvalidRequest(f"count must be 1 or more, and is {count}")
        if period is not PriceType.DAILY:
            raise NotSupported(f"bars of the period {period.name} are not there yet")
        today = self._settings.now().date()
        bars = self._kis.daily_candles(stock_code, krx.FIRST_DAY, today, count=count)
        return [
            ChartData(
                stock_code=stock_code,
                date=f"{bar['trading_day']:%Y%m%d}",
                open_price=bar["open"],
                high_price=bar["high"],
                low_price=bar["low"],
                close_price=bar["close"],
                volume=bar["volume"],
                trading_value=bar["trading_value"],
            )
            for bar in bars
        ]

    def get_stock_info(self, stock_code: str) -> StockInfo:
        """Slow facts of one stock, from the master files of today."""
        _checked(stock_code)
        today = self._settings.now().date()
        if self._master is None or self._master[0] != today:
            self._master = (today, self.stock_master(today))
        found = self._master[1].filter(pl.col("stock_code") == stock_code)
        if found.is_empty():
            raise InvalidRequest("no stock of this code is listed", stock_code=stock_code)
        row = found.row(0, named=True)
        return StockInfo(
            stock_code=stock_code,
            stock_name=row["stock_name"],
            market=row["market"],
            sector=row["sector_large"],
            industry=row["sector_medium"],
            listed_shares=row["listed_shares"],
            face_value=row["face_value"],
        )

    # For the assets

    def stock_master(self, trading_day: date) -> pl.DataFrame:
        """Every listed issue of KOSPI, KOSDAQ and KONEX, from three files that need no key."""
        issues = self._kis.issues().with_columns(trading_day=pl.lit(trading_day))
        return self._stamped(issues, STOCK_MASTER.schema)

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
        quotes: dict[str, dict[str, Any]] = {}
        failed: dict[str, KISError] = {}

        def take(asked: tuple[str, ...], found: Mapping[str, dict[str, Any] | KISError]) -> None:
            received = datetime.now(UTC)
            for code in asked:
                quote = found.get(code)
                if isinstance(quote, KISError):
                    failed[code] = quote
                elif quote is not None:
                    failed.pop(code, None)
                    quotes[code] = quote | {"fetched_at": received}

        if self._client.environment == "real":
            refused = each(
                _batches(codes),
                lambda asked: self._kis.prices(asked, PATIENCE),
                take,
                workers=self._workers,
                rest=self._client.wait_for_breaker,
                progress=_by_last_code(progress, len(codes)),
            )
            failed |= {code: error for asked, error in refused.items() for code in asked}
        # KIS leaves out codes now and then, and tells an unknown one only when asked for it alone.
        left = [code for code in codes if code not in quotes and code not in failed]
        absent: dict[str, str] = {}
        refused_alone = each(
            left,
            lambda code: {code: self._kis.price(code, PATIENCE)},
            lambda code, found: take((code,), found),
            workers=self._workers,
            rest=self._client.wait_for_breaker,
            progress=None
            if progress is None
            else lambda done, code: progress(len(codes) - len(left) + done, len(codes), code),
        )
        for code, error in refused_alone.items():
            if isinstance(error, InvalidRequest):
                absent[code] = "KIS has no price of it"
            else:
                failed[code] = error
        return Fetched(
            self._snapshot_rows(stocks, quotes, trading_day, captured_at), failed, absent
        )

    def daily_candles(
        self,
        stock_codes: Collection[str],
        first: date,
        last: date,
        progress: Progress | None = None,
    ) -> Fetched:
        """Raw daily bars: a request for up to 100 days of a stock."""
        frames: list[pl.DataFrame] = []
        absent: dict[str, str] = {}

        def take(code: str, bars: list[dict[str, Any]]) -> None:
            if not bars:
                absent[code] = "KIS has no bar of it in these days"
                return
            frames.append(
                self._stamped(
                    answers.frame(
                        [bar | {"stock_code": code} for bar in bars], DAILY_CANDLES.schema
                    ),
                    DAILY_CANDLES.schema,
                )
            )

        failed = each(
            stock_codes,
            lambda code: self._kis.daily_candles(code, first, last, PATIENCE),
            take,
            workers=self._workers,
            rest=self._client.wait_for_breaker,
            progress=None
            if progress is None
            else lambda done, code: progress(done, len(stock_codes), code),
        )
        for code, error in list(failed.items()):
            if isinstance(error, InvalidRequest):
                absent[code] = "KIS knows no such stock"
                del failed[code]
        rows = pl.concat(frames) if frames else DAILY_CANDLES.empty()
        return Fetched(rows, failed, absent)

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
                "market_cap": quote["price"] * stock["listed_shares"]
                if stock["listed_shares"]
                else None,
                "source": self.name,
            }
            for stock in stocks.iter_rows(named=True)
            if (quote := quotes.get(stock["stock_code"])) is not None
        ]
        return answers.frame(rows, PRICE_SNAPSHOTS.schema)

    def _stamped(self, frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
        return frame.with_columns(
            source=pl.lit(self.name),
            fetched_at=pl.lit(datetime.now(UTC), schema["fetched_at"]),
        ).select(schema.names())


def _checked(stock_code: str) -> str:
    if not krx.is_stock_code(stock_code):
        raise InvalidRequest(
            f"{stock_code!r} is no stock code: it has six digits or capital letters, such as 005930"
        )
    return stock_code


def _batches(codes: list[str]) -> list[tuple[str, ...]]:
    size = endpoints.CODES_A_REQUEST
    return [tuple(codes[start : start + size]) for start in range(0, len(codes), size)]


def _by_last_code(progress: Progress | None, total: int) -> Any:
    if progress is None:
        return None

    def report(batches: int, codes: tuple[str, ...]) -> None:
        progress(min(total, batches * endpoints.CODES_A_REQUEST), total, codes[-1])

    return report

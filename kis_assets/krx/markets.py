"""Whole markets of KRX by day: each is requested once and kept in this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, date
from threading import Lock
from typing import NoReturn

import polars as pl

from kis_assets.errors import ServiceUnavailable, UnexpectedAnswer
from kis_assets.krx import answers, client, publication
from kis_assets.settings import Settings
from kis_assets.tables import KRX_DAILY
from kis_assets.transport.fan_out import each
from kis_assets.transport.single_flight import Flights

Asked = tuple[str, date]
"""The API and the day of one request."""

KEPT = 1000
"""How many answers a process keeps, of a few hundred KB each: 500 days of KOSPI and KOSDAQ."""

_MARKET_OF = {api: market for apis in (client.DAILY, client.ISSUES) for market, api in apis.items()}


def markets_on(day: date) -> list[str]:
    """The markets for which KRX has data of a day."""
    return [market for market, first in publication.MARKETS.items() if day >= first]


class Markets:
    """KRX's answers by market and day; thread-safe. `workers` bounds the concurrent requests."""

    def __init__(self, client: client.KRXClient, settings: Settings, workers: int) -> None:
        self._client, self._settings, self._workers = client, settings, workers
        self._answers: OrderedDict[Asked, pl.DataFrame] = OrderedDict()
        self._lock = Lock()
        self._flights = Flights()

    def whole(self, apis: dict[str, str], day: date) -> pl.DataFrame:
        """The rows of all markets of a published day; see `answer`."""
        publication.check(day, self._settings.now())
        asked = [(apis[market], day) for market in markets_on(day)]
        self.fetch(asked)
        return pl.concat([self.answer(one) for one in asked])

    def forget(self, first: date, last: date) -> None:
        """Drop the kept answers of these days."""
        with self._lock:
            for asked in [one for one in self._answers if first <= one[1] <= last]:
                del self._answers[asked]

    def answer(self, asked: Asked) -> pl.DataFrame:
        """The rows of one API and day, kept or requested now; never empty.

        Raises:
            InvalidRequest: the day is not a trading day, lies before KRX's history, or is
                not published yet.
            ServiceUnavailable: the day is due since this morning but missing, or KRX is
                unreachable.
            UnexpectedAnswer: the answer has no rows, or impossible values.
            KISError: any other failure.
        """
        with self._lock:
            if asked in self._answers:
                self._answers.move_to_end(asked)
                return self._answers[asked]
        return self._flights.once(f"{asked[0]} {asked[1]}", lambda: self._ask(asked))

    def _ask(self, asked: Asked) -> pl.DataFrame:
        api, day = asked
        market = _MARKET_OF[api]
        publication.check(day, self._settings.now(), market)
        if api in client.ISSUES.values():
            rows = self._client.ask(api, day, lambda body: answers.issues(body, market))
        else:
            rows = self._client.ask(
                api,
                day,
                lambda body: answers.daily(
                    body, day, market, lambda isin: self._short_code(isin, market, day)
                ),
            )
        if rows.is_empty():
            self._refuse_nothing(api, day)
        rows = rows.with_columns(
            source=pl.lit(self._settings.named("krx")),
            fetched_at=pl.lit(self._settings.now().astimezone(UTC), KRX_DAILY.schema["fetched_at"]),
        )
        with self._lock:
            self._answers[asked] = rows
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return rows

    def _refuse_nothing(self, api: str, day: date) -> NoReturn:
        """Refuse an answer without rows: the day is a trading day, and its data is due."""
        if publication.published_at(day).date() == self._settings.now().date():
            raise ServiceUnavailable(
                f"KRX has not published {day} yet, which was due this morning; ask again later",
                endpoint=api,
            )
        raise UnexpectedAnswer(
            f"KRX has no rows for {day}, which is a trading day by the calendar", endpoint=api
        )

    def _short_code(self, isin: str, market: str, day: date) -> str | None:
        known = self.answer((client.ISSUES[market], day)).filter(pl.col("isin") == isin)
        return None if known.is_empty() else known["stock_code"][0]

    def fetch(self, asked: Iterable[Asked], progress: Callable[[int], None] | None = None) -> None:
        """Fetch and keep these answers, with several requests at once.

        Raises:
            KISError: the first failure: a month must be complete.
        """
        failed = each(
            asked,
            self.answer,
            lambda _one, _rows: None,
            workers=self._workers,
            progress=None if progress is None else lambda done, _one: progress(done),
        )
        for error in failed.values():
            raise error

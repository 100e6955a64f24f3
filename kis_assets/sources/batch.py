"""The same question about many stocks for a program: results, failures and figures in one answer.

How requests are kept bounded and failures apart stands in `transport.fan_out`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypedDict, TypeVar

from kis_assets.errors import InvalidRequest, KISError
from kis_assets.exchange import stocks
from kis_assets.transport.fan_out import Progress, each

log = logging.getLogger(__name__)

T = TypeVar("T")

EVERY = 100
"""Stocks from one log line to the next."""


class BatchStats(TypedDict):
    """How a batch went."""

    succeeded: int
    failed: int
    total: int
    duration_seconds: float
    stocks_per_second: float


class BatchResult(TypedDict, Generic[T]):
    """What a batch gives: the records by code, what went wrong by code, and how it went."""

    success: dict[str, T]
    failed: dict[str, KISError]
    stats: BatchStats


def checked(stock_code: str | int) -> str:
    """The code that is meant; see `exchange.stocks.code_of`.

    Raises:
        InvalidRequest: it is none.
    """
    code = stocks.code_of(stock_code)
    if code is None:
        raise InvalidRequest(
            f"{stock_code!r} is no stock code: it is a text of six digits or capital letters, such "
            'as "005930"'
        )
    return code


def several(stock_codes: Iterable[str]) -> list[str]:
    """Those codes, each once.

    Raises:
        InvalidRequest: it is one code, or no list at all.
    """
    known: Any = stock_codes
    if isinstance(known, str | bytes) or not isinstance(known, Iterable):
        raise InvalidRequest(f'a list of stock codes is wanted, such as ["005930"], not {known!r}')
    return list(dict.fromkeys(stock_codes))


class Batch(Generic[T]):
    """A batch under way: takes each record, counts, reports, and sums up.

    A code given twice is asked for once; one that is none has failed from the start.
    """

    def __init__(
        self, stock_codes: Iterable[str], what: str, progress: Progress | None = None
    ) -> None:
        self._started = time.monotonic()
        self._what, self._progress = what, progress
        self._success: dict[str, T] = {}
        self._failed: dict[str, KISError] = {}
        meant: dict[str, None] = {}
        wrong: dict[str, KISError] = {}
        for code in several(stock_codes):
            try:
                meant[checked(code)] = None
            except InvalidRequest as error:
                wrong[code] = error
        self.codes = list(meant)
        self._total, self._completed = len(meant) + len(wrong), 0
        for code, error in wrong.items():
            self.refused(code, error)

    def run(self, ask: Callable[[str], T], workers: int, rest: Callable[[], None]) -> None:
        """Ask for every code that is left, `workers` at a time."""
        failed = each(self.codes, ask, self.took, workers=max(1, workers), rest=rest)
        for code, error in failed.items():
            self.refused(code, error)

    def took(self, code: str, record: T) -> None:
        """A stock is done."""
        self._success[code] = record
        self._report(code)

    def refused(self, code: str, error: KISError) -> None:
        """A stock has failed for good."""
        self._failed[code] = error
        self._report(code)

    def _report(self, code: str) -> None:
        self._completed += 1
        if self._completed % EVERY == 0 or self._completed == self._total:
            log.info("%s: %d of %d stocks", self._what, self._completed, self._total)
        if self._progress is not None:
            self._progress(self._completed, self._total, code)

    def result(self) -> BatchResult[T]:
        """What came of it."""
        seconds = time.monotonic() - self._started
        return {
            "success": self._success,
            "failed": self._failed,
            "stats": {
                "succeeded": len(self._success),
                "failed": len(self._failed),
                "total": self._total,
                "duration_seconds": seconds,
                "stocks_per_second": self._total / seconds if seconds else 0.0,
            },
        }

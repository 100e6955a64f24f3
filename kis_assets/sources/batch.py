"""The same request for many stocks: results, failures and figures in one answer.

`transport.fan_out` bounds the requests and collects the failures.
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
"""How many stocks lie between two log lines."""


class BatchStats(TypedDict):
    """Figures of a batch."""

    succeeded: int
    failed: int
    total: int
    duration_seconds: float
    stocks_per_second: float


class BatchResult(TypedDict, Generic[T]):
    """Records by code as they were asked for, errors by code, and figures."""

    success: dict[str, T]
    failed: dict[str, KISError]
    stats: BatchStats


def checked(stock_code: str | int) -> str:
    """The code that is meant; see `exchange.stocks.code_of`.

    Raises:
        InvalidRequest: it is no stock code.
    """
    code = stocks.code_of(stock_code)
    if code is None:
        raise InvalidRequest(
            f"{stock_code!r} is no stock code: a code is text of six digits or capital letters, "
            'such as "005930"'
        )
    return code


def several(stock_codes: Iterable[str]) -> list[str]:
    """These codes without duplicates.

    Raises:
        InvalidRequest: it is a single code, or no list.
    """
    known: Any = stock_codes
    if isinstance(known, str | bytes) or not isinstance(known, Iterable):
        raise InvalidRequest(f'expected a list of stock codes such as ["005930"], not {known!r}')
    return list(dict.fromkeys(stock_codes))


class Batch(Generic[T]):
    """A running batch: collects records, logs progress, and makes the result.

    A code given twice is requested once; an invalid code fails at once.
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
        """Request all remaining codes, `workers` at a time."""
        failed = each(self.codes, ask, self.took, workers=max(1, workers), rest=rest)
        for code, error in failed.items():
            self.refused(code, error)

    def took(self, code: str, record: T) -> None:
        """Add the record of a stock."""
        self._success[code] = record
        self._report(code)

    def refused(self, code: str, error: KISError) -> None:
        """Add the final failure of a stock."""
        self._failed[code] = error
        self._report(code)

    def _report(self, code: str) -> None:
        self._completed += 1
        if self._completed % EVERY == 0 or self._completed == self._total:
            log.info("%s: %d of %d stocks", self._what, self._completed, self._total)
        if self._progress is not None:
            self._progress(self._completed, self._total, code)

    def result(self) -> BatchResult[T]:
        """The result of the batch."""
        seconds = time.monotonic() - self._started
        return {
            "success": {it: self._success[it] for it in self.codes if it in self._success},
            "failed": self._failed,
            "stats": {
                "succeeded": len(self._success),
                "failed": len(self._failed),
                "total": self._total,
                "duration_seconds": seconds,
                "stocks_per_second": self._total / seconds if seconds else 0.0,
            },
        }

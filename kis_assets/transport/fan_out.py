"""Many concurrent requests, of a bounded number; one failure never stops the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from kis_assets.errors import AuthenticationFailed, KISError, NotSupported, RateLimited

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Progress = Callable[[int, int, str], None]
"""Called as `progress(completed, total, stock_code)`."""

_GLANCE = 0.5
"""Seconds."""
ROUNDS = 4
"""How often a request is made in all if it fails for a passing reason, such as an outage."""


def each(
    keys: Iterable[K],
    ask: Callable[[K], V],
    take: Callable[[K, V], None],
    *,
    workers: int = 10,
    rest: Callable[[], None] = lambda: None,
    progress: Callable[[int, K], None] | None = None,
) -> dict[K, KISError]:
    """Request every key and pass each answer to `take`, in this thread; return the failures.

    Requests that failed for a passing reason are repeated in a later round, after `rest`, if any
    request succeeded: there is no waiting for a server that never answered.

    Raises:
        AuthenticationFailed, NotSupported: these would fail every request.
    """
    pending, failed = list(keys), dict[K, KISError]()
    completed = answered = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="kis")
    try:
        for round_ in range(ROUNDS):
            postponed: list[K] = []
            remaining = iter(pending)
            flying: dict[Future[V], K] = {
                pool.submit(ask, key): key for key in islice(remaining, 2 * workers)
            }
            while flying:
                # With a timeout: a thread that waits without one does not notice Ctrl-C.
                landed, _ = wait(flying, timeout=_GLANCE, return_when=FIRST_COMPLETED)
                for future in landed:
                    key = flying.pop(future)
                    try:
                        answer = future.result()
                    except (AuthenticationFailed, NotSupported):
                        raise
                    except KISError as error:
                        failed[key] = error
                        if error.passing or error.is_outage or isinstance(error, RateLimited):
                            postponed.append(key)
                            continue
                    else:
                        failed.pop(key, None)
                        take(key, answer)
                        answered += 1
                    completed += 1
                    if progress is not None:
                        progress(completed, key)
                for key in islice(remaining, len(landed)):
                    flying[pool.submit(ask, key)] = key
            if not postponed or not answered or round_ == ROUNDS - 1:
                break
            log.warning("%d requests failed for what may pass; asking again", len(postponed))
            rest()
            pending = postponed
    except BaseException:
        # Do not wait for queued requests: that could take minutes.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return failed


def counted(
    progress: Progress | None, total: int, before: int = 0
) -> Callable[[int, str], None] | None:
    """A callback for `each` that passes the total to `progress` and adds the `before` done."""
    return progress and (lambda done, code: progress(before + done, total, code))

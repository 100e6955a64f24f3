"""Retries after failures that may pass, with growing pauses. Sends nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import stamina

from kis_assets.errors import KISError
from kis_assets.transport.stats import Tally

log = logging.getLogger(__name__)

T = TypeVar("T")


def _tell(details: stamina.instrumentation.RetryDetails) -> None:
    """Say once what is tried again, and why: stamina would say of each try that there is one."""
    if details.retry_num == 1:
        log.warning("%s; trying again", details.caused_by)


stamina.instrumentation.set_on_retry_hooks([_tell])


def retrying(attempt: Callable[[], T], name: str, tally: Tally, retries: int) -> T:
    """The result of `attempt`, retried up to `retries` times after failures that may pass.

    `name` is its name in the tally.

    Raises:
        KISError: the last failure, or the first that cannot pass.
    """
    outcome = key_id = ""
    for try_ in stamina.retry_context(
        on=_may_pass,
        attempts=retries + 1,
        timeout=None,
        wait_initial=0.2,
        wait_max=5.0,
        wait_jitter=0.3,
    ):
        with try_:
            if outcome:
                tally.retried(name, outcome, key_id)
            try:
                return attempt()
            except KISError as error:
                outcome, key_id = type(error).__name__, error.key_id
                raise
    raise AssertionError


def _may_pass(error: Exception) -> bool:
    return isinstance(error, KISError) and error.passing

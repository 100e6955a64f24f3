"""Backfills: makes the partitions of a plan, each in a run of its own.

Daily candles are fetched in windows of several months. The bars are cached, and the run of each
month takes them from the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import date

import dagster as dg
import polars as pl

from kis_assets.defs.availability import month
from kis_assets.defs.resources import open_lake
from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.execution import history, runner
from kis_assets.execution.plan import Plan, Window
from kis_assets.execution.runner import Outcome
from kis_assets.lake import requests
from kis_assets.settings import Settings
from kis_assets.sources.factory import create_data_source
from kis_assets.tables import DAILY_CANDLES
from kis_assets.transport.fan_out import Progress

FAILURES = 3
"""The number of consecutive failed partitions after which the backfill stops."""
_LOOK = 1.0
"""Seconds between two checks during a fetch whether the backfill was canceled."""

Make = Callable[
    [str, str, dg.DagsterInstance, Settings, Progress | None, Mapping[str, str]], Outcome
]


def run(
    plan: Plan,
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    starting: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
    make: Make = runner.materialize,
) -> Generator[Outcome]:
    """Make the partitions of a plan, oldest first, each in a run of its own.

    Args:
        plan: from `make_plan`.
        settings: of the source.
        instance: Dagster's instance, which records the runs.
        starting: called with the name of each window or partition when it begins.
        progress: called with the number of its finished stocks.
        make: makes one partition.

    Yields:
        The outcome of each partition.

    Raises:
        KISError: a window could not be fetched at all, or the last partitions all failed. Stored
            rows stay, and the next backfill continues from there.
        Canceled: the backfill or one of its runs was canceled in Dagster's UI.
    """
    left = list(plan.partitions)
    failures, looked_at = 0, time.monotonic()

    def looking(listener: Progress | None) -> Progress:
        """Calls the listener, and from time to time checks for a cancellation."""

        def look(completed: int, total: int, code: str) -> None:
            nonlocal looked_at
            if listener:
                listener(completed, total, code)
            if time.monotonic() - looked_at >= _LOOK:
                at_work.raise_if_canceled()
                looked_at = time.monotonic()

        return look

    def made(key: str, listener: Progress | None) -> Outcome:
        nonlocal failures
        starting(key)
        outcome = make(plan.table, key, instance, settings, looking(listener), at_work.tags)
        failures = failures + 1 if outcome.error else 0
        at_work.has_failures |= bool(outcome.error)
        return outcome

    def go_on() -> None:
        at_work.raise_if_canceled()
        if failures >= FAILURES:
            raise KISError(f"{FAILURES} partitions failed one after the other")

    with history.backfill(plan.table, plan.partitions, settings, instance) as at_work:
        if plan.windows:
            for key in _fetched(plan, settings, left, starting, looking(progress)):
                yield made(key, None)
                go_on()
                left.remove(key)
        for key in left:
            yield made(key, progress)
            go_on()


def _fetched(
    plan: Plan,
    settings: Settings,
    keys: list[str],
    starting: Callable[[str], None],
    progress: Progress,
) -> Iterator[str]:
    """Fetch window after window, and yield each month as soon as all its bars are cached."""
    now = settings.now()
    waiting = [
        (key, month(key, calendar.latest_session(now).day))
        for key in keys
        if key not in plan.without_window
    ]
    rows = DAILY_CANDLES.empty()
    unstored: list[tuple[Window, set[str]]] = []
    with create_data_source(settings=settings) as source:
        try:
            for window in plan.windows:
                starting(f"{window.first} to {window.last}")
                fetched = source.tables.daily_candles(
                    window.codes, window.first, window.last, progress
                )
                rows = pl.concat([rows, fetched.rows])
                unstored.append((window, set(fetched.failed)))
                while waiting and calendar.possible_trading_days(*waiting[0][1])[-1] <= window.last:
                    key, (first, last) = waiting.pop(0)
                    # Failed stocks are not cached: the month's own run fetches them again.
                    failed = {code for it, codes in unstored if it.last >= first for code in codes}
                    codes = [code for code in window.codes if code not in failed]
                    source.tables.keep_daily_candles(codes, rows, first, last)
                    yield key
                begins = waiting[0][1][0] if waiting else date.max
                rows = rows.filter(pl.col("trading_day") >= begins)
                # A window stays cached until its last month is stored.
                for it, _ in unstored:
                    if it.last < begins:
                        source.tables.history_is_stored(it.first, it.last)
                unstored = [(it, codes) for it, codes in unstored if it.last >= begins]
        finally:
            requests.record(source.tally, open_lake(settings), settings, "backfill")

"""What an evening costs this machine where the server sets no limit: CPU by part, and memory.

It is `kis-assets run` of the four tables that ask for every stock, in one process, with a watch at
the doors between its parts. A part's threads count as it: the whole process is looked at.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any

from benchmarks.measure import Line, alone, peak
from benchmarks.server import AT, listed, served, settings

TABLES = ("price_snapshots", "order_books", "daily_candles", "minute_candles")
PARTS = ("client", "decode", "store", "check", "publish", "the rest")
GROUP = "an evening without limit"


def evening(folder: Path, stocks: int) -> list[Line]:
    """The four tables of so many stocks, in a process of its own."""
    with served(None, 0) as url:
        return alone(_run, folder, url, listed(folder, url, stocks))


class Watch:
    """CPU seconds of this process by part; what is within another part is not of that one."""

    def __init__(self) -> None:
        self._spent: Counter[str] = Counter()
        self._within = ["the rest"]
        self._since = time.process_time()
        self._client = 0.0
        self._lock = Lock()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Until its end, count for this part. Of the main thread."""
        self._turn()
        self._within.append(name)
        try:
            yield
        finally:
            self._turn()
            self._within.pop()

    def _turn(self) -> None:
        now = time.process_time()
        self._spent[self._within[-1]] += now - self._since
        self._since = now

    def client(self, seconds: float) -> None:
        """Count for the client, whichever thread it was in. It is within `fetch`."""
        with self._lock:
            self._client += seconds

    def take(self) -> dict[str, float]:
        """The parts since the last time."""
        self._turn()
        spent = {**self._spent, "client": self._client}
        spent["decode"] = spent.pop("fetch", 0.0) - self._client
        self._spent.clear()
        self._client = 0.0
        return {name: max(0.0, spent.get(name, 0.0)) for name in PARTS}


def _watched(watch: Watch) -> None:
    """Put the watch at the doors of the client, the tables, the lake and the checks."""
    from kis_assets.defs.checks.check import Check
    from kis_assets.kis import client
    from kis_assets.lake.lake import Lake
    from kis_assets.sources.kis_tables import KISTables

    for name, method in vars(KISTables).copy().items():
        if callable(method) and not name.startswith("_"):
            setattr(KISTables, name, _door(watch, "fetch", method))
    for of, name, part in (
        (Lake, "replace", "store"), (Lake, "publish", "publish"), (Check, "find", "check"),
    ):  # fmt: skip
        setattr(of, name, _door(watch, part, getattr(of, name)))

    def reading(work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def timed(*given: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*given)
            finally:
                watch.client(began - time.thread_time())  # it is within what is asked

        return timed

    ask = client.Client.ask

    def asked(self: Any, endpoint: Any, parameters: Any, read: Any, **more: Any) -> Any:
        began = time.thread_time()
        try:
            return ask(self, endpoint, parameters, reading(read), **more)
        finally:
            watch.client(time.thread_time() - began)

    client.Client.ask = asked
    client.envelope = reading(client.envelope)


def _door(watch: Watch, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(work)
    def through(*given: Any, **named: Any) -> Any:
        with watch.part(part):
            return work(*given, **named)

    return through


@dataclass
class _Cost:
    parts: dict[str, float]
    said: str

    @property
    def all(self) -> float:
        return sum(self.parts.values())

    def line(self, name: str) -> Line:
        of = ", ".join(f"{part} {seconds:.2f}" for part, seconds in self.parts.items())
        return Line(GROUP, name, self.all, "s of CPU", beside=f"{of}; {self.said}")


def _run(folder: Path, url: str, codes: list[str]) -> list[Line]:
    os.environ.pop("DAGSTER_HOME", None)
    warnings.simplefilter("ignore")
    from kis_assets import definitions

    definitions.load()
    from kis_assets.cli.common import quieten
    from kis_assets.execution import runner
    from kis_assets.execution.dagster_home import in_process

    quieten()
    given = settings(folder, url, 1_000.0, kis_stock_codes=codes)
    watch, lines, whole = Watch(), list[Line](), Counter[str]()
    _watched(watch)
    before, began = peak(), time.monotonic()
    with in_process(runner.home(given)) as instance:
        runner.run_day(AT.date(), instance, given, ["stock_master"])
        watch.take()
        for table in TABLES:
            (found,) = runner.run_day(AT.date(), instance, given, [table])
            if found.error:
                lines.append(Line(GROUP, table, None, beside=f"cannot: {found.error}"))
                continue
            cost = _Cost(watch.take(), f"{found.metadata['requests']:,} requests, "
                                       f"{found.metadata['dagster/row_count']:,} rows, "
                                       f"{found.metadata['seconds']} s")  # fmt: skip
            whole.update(cost.parts)
            lines.append(cost.line(f"{table} of {len(codes)} stocks"))
    total = _Cost(dict(whole), f"{time.monotonic() - began:.0f} s with Dagster's start")
    lines.append(total.line("all four"))
    lines.append(Line(GROUP, "peak memory of its process", peak(), "MB", aim=400.0,
                      beside=f"{before:.0f} with all imported"))  # fmt: skip
    return lines

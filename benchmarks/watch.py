"""A watch at the doors between the parts of this project: CPU seconds of each.

The threads of a part count as it, those of Polars too: what is looked at is the whole process.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any

PARTS = ("client", "decode", "store", "check", "publish", "the rest")
"""Requests; what is made of answers; Parquet; checks; `market.duckdb`; Dagster and pictures."""


class Watch:
    """CPU seconds of this process by part; what is within another part is not of that one."""

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._spent: Counter[str] = Counter()
        self._within = ["the rest"]
        self._since = clock()
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
        now = self._clock()
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


def set_up(watch: Watch) -> None:
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

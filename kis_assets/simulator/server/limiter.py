"""The log of arrivals, and the rate limit. Knows nothing about the content of calls.

An admitted call counts in the last second of its app key; a refused call does not.
"""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock
from typing import NamedTuple


class Arrival(NamedTuple):
    """One call in the log."""

    at: float
    path: str
    tr_id: str
    outcome: str


class Log:
    """Every call, in the order of the answers. `arrivals` may be read at any time."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.by_day: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def add(self, arrival: Arrival, day: str) -> None:
        """Note a call and its day."""
        with self._lock:
            self.arrivals.append(arrival)
            self.by_day[day, arrival.path] += 1

    def max_in_any_second(self) -> int:
        """The most `/uapi` calls that arrived within any one second, refused ones included."""
        times = sorted(item.at for item in self.arrivals if item.path.startswith("/uapi"))
        most, first = 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most


class Limiter:
    """Admits at most `limit` calls of one key in any second; 0 for no limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._admitted: dict[str, deque[float]] = {}
        self._lock = Lock()

    def admits(self, key: str, at: float) -> bool:
        """Whether a call that arrives at `at` is admitted; counts it if so."""
        with self._lock:
            admitted = self._admitted.setdefault(key, deque())
            while admitted and admitted[0] <= at - 1.0:
                admitted.popleft()
            if self.limit and len(admitted) >= self.limit:
                return False
            admitted.append(at)
            return True

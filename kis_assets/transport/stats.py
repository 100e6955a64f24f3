"""Statistics of requests to KIS: counts and latencies by endpoint and app key. Stores nothing."""

from __future__ import annotations

import threading
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

LATENCIES = 10_000
"""How many answer times are kept per endpoint and outcome: a process may run for months."""


Asked = tuple[str, str, str]
"""Endpoint, outcome, and the id of the app key that asked, empty if none was needed."""


def _no_seconds() -> defaultdict[Asked, deque[float]]:
    return defaultdict(lambda: deque(maxlen=LATENCIES))


@dataclass(eq=False)
class Tally:
    """Attempts by endpoint, outcome and app key, and the time each answer took.

    An outcome is `ok` or the name of the error. `retries` counts the attempts that followed a
    failure with this endpoint, outcome and key; `cache_hits` counts answers without a request.
    """

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: Counter[Asked] = field(default_factory=Counter[Asked])
    retries: Counter[Asked] = field(default_factory=Counter[Asked])
    cache_hits: Counter[str] = field(default_factory=Counter[str])
    breaker_changes: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """By the change, and the app key whose breaker it is."""
    seconds: defaultdict[Asked, deque[float]] = field(default_factory=_no_seconds)
    tokens: Counter[str] = field(default_factory=Counter[str])
    """Token requests by app key."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _parts: weakref.WeakSet[Tally] = field(default_factory=weakref.WeakSet["Tally"], repr=False)

    def part(self) -> Tally:
        """A tally of everything from now on, as long as the caller keeps a reference to it."""
        part = Tally()
        with self._lock:
            self._parts.add(part)
        return part

    def add(
        self, endpoint: str, outcome: str, seconds: float | None = None, key_id: str = ""
    ) -> None:
        """Count one attempt; `seconds` from sending to the end of the answer, if it was sent."""
        with self._lock:
            for tally in (self, *self._parts):
                tally.outcomes[endpoint, outcome, key_id] += 1
                if seconds is not None:
                    tally.seconds[endpoint, outcome, key_id].append(seconds)

    def retried(self, endpoint: str, outcome: str, key_id: str = "") -> None:
        """Count one retry, because of an `outcome` that may pass."""
        with self._lock:
            for tally in (self, *self._parts):
                tally.retries[endpoint, outcome, key_id] += 1

    def cached(self, what: str, count: int = 1) -> None:
        """Count answers from the cache."""
        with self._lock:
            for tally in (self, *self._parts):
                tally.cache_hits[what] += count

    def breaker_changed(self, change: str, key_id: str = "") -> None:
        """Count a change of the circuit breaker's state, seen or caused by this process."""
        with self._lock:
            for tally in (self, *self._parts):
                tally.breaker_changes[change, key_id] += 1

    def token_issued(self, key_id: str = "") -> None:
        """Count one token request."""
        with self._lock:
            for tally in (self, *self._parts):
                tally.tokens[key_id] += 1

    def summary(self) -> dict[str, int | float]:
        """Figures of all endpoints together, for an asset's metadata."""
        with self._lock:
            seconds = [took for took_all in self.seconds.values() for took in took_all]
            by_outcome: Counter[str] = Counter()
            for (_, outcome, _), count in self.outcomes.items():
                by_outcome[outcome] += count
            return {
                "requests": sum(self.outcomes.values()) - by_outcome["NotSent"],
                "refusals": by_outcome["RateLimited"],
                "retries": self.retries.total(),
                "cache_hits": self.cache_hits.total(),
                "breaker_changes": self.breaker_changes.total(),
                "tokens_issued": self.tokens.total(),
                **{f"latency_{name}_ms": value for name, value in quantiles(seconds).items()},
            }


def quantiles(seconds: Iterable[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds; 0 without values."""
    ordered = sorted(seconds)
    return {
        f"p{share}": round(1000 * ordered[share * (len(ordered) - 1) // 100], 1) if ordered else 0.0
        for share in (50, 95, 99)
    }

"""What was asked of KIS and how it went: counts and latencies by endpoint. Stores nothing."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Attempts by endpoint and outcome, and the time each answer took.

    An outcome is `ok` or the name of the error; `retries` are attempts beyond the first.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, endpoint: str, outcome: str, seconds: float | None = None) -> None:
        """One attempt; `seconds` from sending to the end of the answer, where one was sent."""
        with self._lock:
            self.outcomes[endpoint, outcome] += 1
            if seconds is not None:
                self.seconds[endpoint].append(seconds)

    def retried(self, endpoint: str) -> None:
        """One attempt more than the first."""
        with self._lock:
            self.retries[endpoint] += 1

    def token_issued(self) -> None:
        """One token asked for."""
        with self._lock:
            self.tokens += 1

    def summary(self) -> dict[str, int | float]:
        """Figures of all endpoints together, as they stand in an asset's metadata."""
        with self._lock:
            seconds = sorted(took for took_all in self.seconds.values() for took in took_all)
            by_outcome: Counter[str] = Counter()
            for (_, outcome), count in self.outcomes.items():
                by_outcome[outcome] += count
            return {
                "requests": len(seconds),
                "refusals": by_outcome["RateLimited"],
                "retries": self.retries.total(),
                "tokens_issued": self.tokens,
                "latency_p95_ms": round(1000 * seconds[int(0.95 * (len(seconds) - 1))], 1)
                if seconds
                else 0.0,
            }

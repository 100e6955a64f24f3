"""One circuit breaker for all processes: whether it makes sense to ask at all. Sends nothing.

CLOSED, OPEN after so many failures in a row, HALF_OPEN when the time is up: then one caller of all
processes may probe, holding a lease that expires should it die.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from kis_assets.kis.errors import ServiceUnavailable
from kis_assets.kis.shared import SharedState

State = Literal["CLOSED", "OPEN", "HALF_OPEN"]

FRESH = 0.25
"""Seconds for which a process trusts its copy of a closed breaker."""


class _Row(NamedTuple):
    failures: int
    opened_at: float | None
    probe: str | None
    probe_until: float


class Breaker:
    """Opens after `threshold` failures in a row and asks again, once, after `timeout` seconds.

    Only what says that the server is ill counts: transport errors and gateway failures.
    """

    def __init__(
        self,
        state: SharedState,
        name: str,
        *,
        threshold: int = 5,
        timeout: float = 60.0,
        lease: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        listener: Callable[[State, State], None] | None = None,
    ) -> None:
        self._shared = state
        self._name = name
        self._threshold = threshold
        self._timeout = timeout
        self._lease = lease
        self._clock = clock
        self._listener = listener
        self._quiet_until = float("-inf")

    def state(self) -> State:
        """CLOSED, OPEN or HALF_OPEN, as all processes see it."""
        with self._shared.transaction() as db:
            return self._state(self._row(db))

    def remaining(self) -> float:
        """Seconds until the next probe is allowed; 0 when closed or half open."""
        with self._shared.transaction() as db:
            row = self._row(db)
        if row.opened_at is None:
            return 0.0
        return max(0.0, row.opened_at + self._timeout - self._clock())

    def check(self) -> None:
        """Let the caller pass, or not. In HALF_OPEN the first caller becomes the probe.

        Raises:
            ServiceUnavailable: the breaker is open, or another caller is probing.
        """
        if self._clock() < self._quiet_until:
            return
        with self._shared.transaction() as db:
            row, now = self._row(db), self._clock()
            if row.opened_at is None:
                if row.failures == 0:
                    self._quiet_until = now + FRESH
                return
            if self._state(row) == "OPEN":
                wait = row.opened_at + self._timeout - now
                raise ServiceUnavailable(
                    f"the circuit breaker is open after {row.failures} failures in a row; "
                    f"the next try is in {wait:.0f} s",
                    is_outage=True,
                )
            if row.probe is not None and row.probe != self._me() and row.probe_until > now:
                raise ServiceUnavailable(
                    "the circuit breaker is half open; one request is probing", is_outage=True
                )
            self._write(db, row._replace(probe=self._me(), probe_until=now + self._lease))
        self._tell("OPEN", "HALF_OPEN")

    def success(self) -> None:
        """The server answered: failures in a row start over, and a probe closes the breaker."""
        if self._clock() < self._quiet_until:
            return
        with self._shared.transaction() as db:
            row = self._row(db)
            old = self._state(row)
            # An answer to a request sent before the breaker opened says nothing about now.
            if old == "OPEN" or (old == "HALF_OPEN" and row.probe != self._me()):
                return
            self._write(db, _Row(0, None, None, 0.0))
            self._quiet_until = self._clock() + FRESH
        if old != "CLOSED":
            self._tell(old, "CLOSED")

    def failure(self) -> None:
        """The server is ill: one more failure in a row; a failed probe opens the breaker again."""
        self._quiet_until = float("-inf")
        with self._shared.transaction() as db:
            row, now = self._row(db), self._clock()
            old = self._state(row)
            failures = row.failures + 1
            if old == "OPEN" or (old == "HALF_OPEN" and row.probe != self._me()):
                return
            opens = old == "HALF_OPEN" or failures >= self._threshold
            self._write(db, _Row(failures, now if opens else None, None, 0.0))
        if opens:
            self._tell(old, "OPEN")

    def release(self) -> None:
        """Give a probe's lease back: the request came to nothing that tells how the server is."""
        if self._clock() < self._quiet_until:
            return
        with self._shared.transaction() as db:
            row = self._row(db)
            if row.probe == self._me():
                self._write(db, row._replace(probe=None, probe_until=0.0))

    def _tell(self, old: State, new: State) -> None:
        if self._listener is not None:
            self._listener(old, new)

    def _state(self, row: _Row) -> State:
        if row.opened_at is None:
            return "CLOSED"
        # The monotonic clock starts over with the machine: an opening in the future is a past one.
        now = self._clock()
        is_open = row.opened_at <= now < row.opened_at + self._timeout
        return "OPEN" if is_open else "HALF_OPEN"

    def _row(self, db: sqlite3.Connection) -> _Row:
        found = db.execute(
            "SELECT failures, opened_at, probe, probe_until FROM breaker WHERE name = ?",
            (self._name,),
        ).fetchone()
        return _Row(*found) if found else _Row(0, None, None, 0.0)

    def _write(self, db: sqlite3.Connection, row: _Row) -> None:
        db.execute("REPLACE INTO breaker VALUES (?, ?, ?, ?, ?)", (self._name, *row))

    def _me(self) -> str:
        return f"{os.getpid()}-{threading.get_ident()}"

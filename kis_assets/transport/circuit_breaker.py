"""One circuit breaker for all processes: it decides whether requests may be sent. Sends nothing.

CLOSED; OPEN after a number of failures in a row; HALF_OPEN after a timeout. Then one caller of all
processes may probe. It holds a lease, which expires if the caller dies.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from kis_assets.errors import ServiceUnavailable
from kis_assets.state.sqlite import State as Shared

T = TypeVar("T")

State = Literal["CLOSED", "OPEN", "HALF_OPEN"]

FRESH = 0.25
"""Seconds for which a process trusts its copy of the CLOSED state."""

_PROGRAM = uuid.uuid4().hex
"""Identifies this program, since process ids of several machines may be equal."""

_thread = threading.local()
"""Holds a unique name for each thread; the system reuses its thread ids."""


class _Row(msgspec.Struct, array_like=True, frozen=True):
    failures: int = 0
    opened_at: float | None = None
    probe: str | None = None
    probe_until: float = 0.0


_CLOSED = _Row()


class Breaker:
    """Opens after `threshold` failures in a row; allows one probe after `timeout` seconds.

    Only signs of a server failure count: transport errors and gateway errors.
    """

    def __init__(
        self,
        state: Shared,
        name: str,
        *,
        threshold: int = 5,
        timeout: float = 60.0,
        lease: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        listener: Callable[[State, State], None] | None = None,
    ) -> None:
        self._shared = state
        self._key = f"breaker:{name}"
        self._threshold = threshold
        self._timeout = timeout
        self._lease = lease
        self._clock = clock
        self._listener = listener
        self._quiet_until = float("-inf")

    def state(self) -> State:
        """CLOSED, OPEN or HALF_OPEN, as all processes see it."""
        return self._update(lambda row, now: (None, self._state(row, now)))

    def remaining(self) -> float:
        """Seconds until the next probe is allowed; 0 when closed or half open."""

        def look(row: _Row, now: float) -> tuple[None, float]:
            if row.opened_at is None or self._state(row, now) != "OPEN":
                return None, 0.0
            return None, row.opened_at + self._timeout - now

        return self._update(look)

    def check(self) -> None:
        """Let the caller pass, or raise. In HALF_OPEN the first caller becomes the probe.

        Raises:
            ServiceUnavailable: the breaker is open, or another caller is probing.
        """
        if self._clock() < self._quiet_until:
            return

        def check(row: _Row, now: float) -> tuple[_Row | None, tuple[State, int, str]]:
            state = self._state(row, now)
            if state == "CLOSED" or row.opened_at is None:
                return None, ("CLOSED", row.failures, "")
            if state == "OPEN":
                wait = row.opened_at + self._timeout - now
                return None, (
                    state,
                    row.failures,
                    f"the circuit breaker is open after {row.failures} failures in a row; "
                    f"the next try is in {wait:.0f} s",
                )
            # A lease that ends too late was made before a clock was set back.
            is_held = now < row.probe_until <= now + self._lease
            if row.probe is not None and row.probe != self._caller_name() and is_held:
                return None, (
                    state,
                    row.failures,
                    "the circuit breaker is half open; one request is probing",
                )
            taken = _Row(row.failures, row.opened_at, self._caller_name(), now + self._lease)
            return taken, (state, row.failures, "")

        state, failures, reason = self._update(check)
        if reason:
            raise ServiceUnavailable(reason, is_outage=True)
        if state == "HALF_OPEN":
            self._notify("OPEN", "HALF_OPEN")
        elif failures == 0:
            self._quiet_until = self._clock() + FRESH

    def success(self) -> None:
        """The server answered: reset the count of failures; a probe closes the breaker."""
        if self._clock() < self._quiet_until:
            return

        def succeed(row: _Row, now: float) -> tuple[_Row | None, State | None]:
            old = self._state(row, now)
            # The request may have been sent before the breaker opened: it proves nothing about now.
            if old == "OPEN" or (old == "HALF_OPEN" and row.probe != self._caller_name()):
                return None, None
            return _CLOSED if row != _CLOSED else None, old

        old = self._update(succeed)
        if old is None:
            return
        self._quiet_until = self._clock() + FRESH
        if old != "CLOSED":
            self._notify(old, "CLOSED")

    def failure(self) -> None:
        """The server failed: count one more failure; a failed probe opens the breaker again."""
        self._quiet_until = float("-inf")

        def fail(row: _Row, now: float) -> tuple[_Row | None, State | None]:
            old = self._state(row, now)
            failures = row.failures + 1
            if old == "OPEN" or (old == "HALF_OPEN" and row.probe != self._caller_name()):
                return None, None
            opens = old == "HALF_OPEN" or failures >= self._threshold
            return _Row(failures, now if opens else None), old if opens else None

        old = self._update(fail)
        if old is not None:
            self._notify(old, "OPEN")

    def release(self) -> None:
        """Give a probe's lease back: the request ended without a result about the server."""
        if self._clock() < self._quiet_until:
            return

        def release(row: _Row, _: float) -> tuple[_Row | None, None]:
            if row.probe != self._caller_name():
                return None, None
            return _Row(row.failures, row.opened_at), None

        self._update(release)

    def _notify(self, old: State, new: State) -> None:
        if self._listener is not None:
            self._listener(old, new)

    def _state(self, row: _Row, now: float) -> State:
        if row.opened_at is None:
            return "CLOSED"
        # A clock may restart with the machine, so an opening time in the future is an old one.
        is_open = row.opened_at <= now < row.opened_at + self._timeout
        return "OPEN" if is_open else "HALF_OPEN"

    def _update(self, change: Callable[[_Row, float], tuple[_Row | None, T]]) -> T:
        def whole(value: bytes | None, now: float) -> tuple[bytes | None, T]:
            try:
                row = _CLOSED if value is None else msgspec.msgpack.decode(value, type=_Row)
            except msgspec.DecodeError:
                row = _CLOSED
            new, result = change(row, now)
            return None if new is None else msgspec.msgpack.encode(new), result

        return self._shared.update(self._key, whole, self._clock)

    def _caller_name(self) -> str:
        if not hasattr(_thread, "name"):
            _thread.name = uuid.uuid4().hex
        return f"{_PROGRAM}-{os.getpid()}-{_thread.name}"

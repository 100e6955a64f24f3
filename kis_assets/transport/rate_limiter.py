"""One request rate for all processes of an account: who may send when. Sends nothing itself.

A paced sliding-window log. A caller reserves the next free slot, sleeps until it is due, and
confirms right before it sends; afterwards it settles how long the answer took. Nobody polls. What
a slot is, and why there are three steps, stands in `departures`.

The limit is what is set or what the server grants, if that is less: `pace` finds it from refusals.
Slots carry the time of the shared state: on Redis the server's, so that machines need not agree.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

import msgspec

from kis_assets.errors import RateLimited, ServiceUnavailable
from kis_assets.state.sqlite import State
from kis_assets.transport.departures import GUARD, LATEST, SETBACK, Departures
from kis_assets.transport.pace import Pace

T = TypeVar("T")

RESERVATIONS = 2
"""Slots a process may hold ahead: what a killed process takes with it."""


class Permit:
    """Leave to send one request, and what came of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.arrived_at: float | None = None
        self.is_refused = False
        self.was_too_quick = False
        """Whether the pace is to blame, known once it is settled: others were accepted before."""

    def arrived(self) -> None:
        """The answer is there: the time taken to read it was not spent on the way."""
        self.arrived_at = self._clock()

    def refused(self) -> None:
        """The server refused it for the rate."""
        self.is_refused = True


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Departures)


class Quota:
    """At most `rate` requests in any second, over all processes that share `state`.

    Fewer where the server was found to grant fewer; see `pace`.

    Live captures go before history: a live caller takes over the next slot that history has
    reserved, and history moves one back.
    """

    def __init__(
        self,
        state: State,
        name: str,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state = state
        self._key = f"quota:{name}"
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self.limit = rate
        self._pace = Pace()
        self._waiting = {True: 0, False: 0}
        self._turns = {live: threading.Semaphore(RESERVATIONS) for live in (True, False)}
        self._usual: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=64))
        self._lock = threading.Lock()
        self._born = ""
        self._departed = -math.inf
        self._apart: float | None = None

    @contextmanager
    def permit(self, kind: str, *, live: bool = False, timeout: float = 30.0) -> Generator[Permit]:
        """Wait for a permit, hold it while sending, and settle it when the answer is there.

        `kind` names the endpoint: answers are compared with the usual time of their own kind.

        Raises:
            RateLimited: the permit would come later than `timeout` seconds from now.
            ServiceUnavailable: what processes share cannot be used.
        """
        owner, confirming = self._acquire(kind, live, self._clock() + timeout)
        permit = Permit(self._clock)
        try:
            yield permit
        finally:
            # From before the confirmation: what lies between it and the departure is on the way.
            took = (permit.arrived_at or self._clock()) - confirming
            permit.was_too_quick = self._settle(owner, kind, took, permit.is_refused)

    def status(self) -> dict[str, float]:
        """Requests a second: `rate` allowed now, `last_second` sent in it, `granted` at most.

        Where less is granted than the setting says, `tried` were refused at `found_at`, an instant
        in seconds; both are 0 otherwise.
        """

        def look(log: Departures, now: float) -> dict[str, float]:
            sent = sum(slot.sent is not None and slot.sent > now - 1 for slot in log.slots)
            granted = min(log.pace.granted, self.limit)
            is_less = granted < self.limit
            return {
                "rate": log.pace.within(self.limit),
                "last_second": sent,
                "granted": granted,
                "tried": log.pace.tried if is_less else 0.0,
                "found_at": log.pace.found_at if is_less else 0.0,
            }

        return self._update(look, writes=False)

    def outlook(self, *, live: bool = False) -> float:
        """Seconds until who asks now would get a permit, callers of this process before it."""

        def look(log: Departures, now: float) -> float:
            return max(0.0, log.due_for(live, now, self.limit) - now)

        ahead = self._waiting[True] if live else sum(self._waiting.values())
        return self._update(look, writes=False) + ahead / self._pace.within(self.limit)

    def _acquire(self, kind: str, live: bool, deadline: float) -> tuple[str, float]:
        """A confirmed slot's owner, and the moment before it was confirmed."""
        with self._lock:
            ahead = self._waiting[live]
            self._waiting[live] += 1
        try:
            # Whoever cannot be served in time is told at once, not after the wait.
            if self._clock() + ahead / self._pace.within(self.limit) > deadline:
                raise self._too_late(deadline)
            turn = self._turns[live]
            if not turn.acquire(timeout=max(0.0, deadline - self._clock())):
                raise self._too_late(deadline)
            try:
                owner = uuid.uuid4().hex
                wait = self._reserve(owner, live, deadline)
                if wait is None:
                    raise self._too_late(deadline)
                while True:
                    if wait > 0:
                        self._sleep(wait)
                    confirming = self._clock()
                    wait = self._confirm(owner, kind)
                    if wait <= 0:
                        self._departed = confirming
                        return owner, confirming
            finally:
                turn.release()
        finally:
            with self._lock:
                self._waiting[live] -= 1

    def _reserve(self, owner: str, live: bool, deadline: float) -> float | None:
        """See `Departures.reserve`."""
        patience = deadline - self._clock()
        return self._update(lambda log, now: log.reserve(owner, live, now, self.limit, patience))

    def _confirm(self, owner: str, kind: str) -> float:
        """See `Departures.confirm`."""
        usual = min(self._usual[kind], default=0.0)
        return self._update(lambda log, now: log.confirm(owner, usual, now, self.limit))

    def _settle(self, owner: str, kind: str, took: float, is_refused: bool = False) -> bool:
        """Note how long the answer took; whether the pace is to blame for a refusal."""
        usual = self._usual[kind]
        # The first answers of a process have no usual time yet: all they took may be lateness.
        shortest = min(usual, default=0.0)
        late = min(LATEST, max(0.0, took - shortest))
        usual.append(took)

        def settle(log: Departures, now: float) -> bool:
            if is_refused:
                wall = self._wall_clock()
                return log.refuse(owner, shortest, late, now, self.limit, wall)
            log.settle(owner, shortest, late, now, self.limit)
            return False

        # An answer that is there is worth more than its place in the log: unsettled, it counts
        # as late as it can be.
        with suppress(ServiceUnavailable):
            return self._update(settle)
        return False

    def _update(self, change: Callable[[Departures, float], T], *, writes: bool = True) -> T:
        def whole(
            value: bytes | None, now: float
        ) -> tuple[bytes | None, tuple[str, float, Pace, T]]:
            log, apart = self._log(value, now)
            result = change(log, now)
            log.forget(now, self.limit)
            return _ENCODER.encode(log) if writes else None, (log.born, apart, log.pace, result)

        born, apart, self._pace, result = self._state.update(self._key, whole, self._clock)
        if writes:
            # Not before it is written: a change may be made several times until one is taken.
            self._born, self._apart = born, apart
        return result

    def _log(self, value: bytes | None, now: float) -> tuple[Departures, float]:
        """What is shared, and how far its clock is from that of this process."""
        log = None
        with suppress(msgspec.DecodeError):
            log = _DECODER.decode(value or b"")
        if log is None or log.is_of_another_clock(now, self.limit):
            # What the server grants outlives the log, and the clock of a machine that restarted.
            log = Departures(uuid.uuid4().hex, pace=self._pace if log is None else log.pace)
        # Where the log's clock jumps, the last second looks like another one.
        apart = now - self._clock()
        has_jumped = self._apart is not None and abs(apart - self._apart) > SETBACK
        is_lost = has_jumped or self._born not in ("", log.born)
        window = log.window(self.limit)[1]
        if is_lost and self._clock() - self._departed < window + LATEST:
            # The log this process wrote to is gone, and with it who sent in the last second.
            log.not_before = max(log.not_before, now + window + GUARD)
        return log, apart

    def _too_late(self, deadline: float) -> RateLimited:
        wait = max(0.0, deadline - self._clock())
        return RateLimited(
            f"no permit within {wait:.1f} s (KIS_API_QUEUE_TIMEOUT): too many requests are waiting"
        )

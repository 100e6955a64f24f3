"""One rate limiter for all processes of an account. Sends nothing itself.

A paced sliding-window log. A caller reserves the next free slot, sleeps until it is due, and
confirms right before it sends; afterwards it settles how long the answer took. Nobody polls.
`departures` explains slots and the three steps.

The limit is the setting, or the server's grant if that is less: `pace` learns it from refusals.
Slots carry the time of the shared state. On Redis this is the server's time, so the clocks of
several machines may differ.
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
"""How many slots a process may reserve ahead: so many are lost if it is killed."""


class Permit:
    """A permit to send one request, and the result."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.arrived_at: float | None = None
        self.is_refused = False
        self.was_too_quick = False
        """Whether the pace caused the refusal, known after settling: others were accepted
        before."""

    def arrived(self) -> None:
        """Note that the answer has arrived: the time to read it must not count as delay."""
        self.arrived_at = self._clock()

    def refused(self) -> None:
        """Note that the server refused the request for its rate."""
        self.is_refused = True


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Departures)


class Quota:
    """At most `rate` requests in any second, over all processes that share `state`.

    Fewer if the server grants fewer; see `pace`.

    Live captures go before history: a live caller takes the next slot that a history caller has
    reserved, and the history callers move back by one.
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
        self._seen = Departures(""), 0.0

    @contextmanager
    def permit(self, kind: str, *, live: bool = False, timeout: float = 30.0) -> Generator[Permit]:
        """Wait for a permit, hold it while sending, and settle it when the answer has arrived.

        `kind` names the endpoint: answers are compared with the usual time of their endpoint.

        Raises:
            RateLimited: the permit would come later than `timeout` seconds from now.
            ServiceUnavailable: the shared state cannot be used.
        """
        owner, confirming = self._acquire(kind, live, self._clock() + timeout)
        permit = Permit(self._clock)
        try:
            yield permit
        finally:
            # Measured from before the confirmation: a delay between it and sending counts, too.
            took = (permit.arrived_at or self._clock()) - confirming
            permit.was_too_quick = self._settle(owner, kind, took, permit.is_refused)

    def status(self) -> dict[str, float]:
        """Requests a second: `rate` allowed now, `last_second` sent in it, `granted` at most.

        If less is granted than the setting allows, `tried` were refused at `found_at`, an instant
        in seconds; otherwise both are 0.
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
        """Seconds until a new caller would get a permit, after the callers of this process.

        By the log as this process saw it last: a look at the log of each of many keys would cost
        more than the request.
        """
        log, apart = self._seen
        now = self._clock() + apart
        ahead = self._waiting[True] if live else sum(self._waiting.values())
        wait = max(0.0, log.due_for(live, now, self.limit) - now)
        return wait + ahead / self._pace.within(self.limit)

    def _acquire(self, kind: str, live: bool, deadline: float) -> tuple[str, float]:
        """The owner of a confirmed slot, and the moment before the confirmation."""
        with self._lock:
            ahead = self._waiting[live]
            self._waiting[live] += 1
        try:
            # A caller that cannot be served in time fails at once, not after the wait.
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
        """Note how long the answer took; return whether the pace caused a refusal."""
        usual = self._usual[kind]
        # The first answers of a process have no usual time yet: all of their time may be delay.
        shortest = min(usual, default=0.0)
        late = min(LATEST, max(0.0, took - shortest))
        usual.append(took)

        def settle(log: Departures, now: float) -> bool:
            if is_refused:
                wall = self._wall_clock()
                return log.refuse(owner, shortest, late, now, self.limit, wall)
            log.settle(owner, shortest, late, now, self.limit)
            return False

        # The answer matters more than its log entry: an unsettled request counts as arrived as late
        # as possible.
        with suppress(ServiceUnavailable):
            return self._update(settle)
        return False

    def _update(self, change: Callable[[Departures, float], T], *, writes: bool = True) -> T:
        def whole(
            value: bytes | None, now: float
        ) -> tuple[bytes | None, tuple[Departures, float, T]]:
            log, apart = self._log(value, now)
            result = change(log, now)
            log.forget(now, self.limit)
            return _ENCODER.encode(log) if writes else None, (log, apart, result)

        log, apart, result = self._state.update(self._key, whole, self._clock)
        self._pace, self._seen = log.pace, (log, apart)
        if writes:
            # Only after it is written: a change may be computed several times until one is stored.
            self._born, self._apart = log.born, apart
        return result

    def _log(self, value: bytes | None, now: float) -> tuple[Departures, float]:
        """The shared log, and the offset between its clock and the clock of this process."""
        log = None
        with suppress(msgspec.DecodeError):
            log = _DECODER.decode(value or b"")
        if log is None or log.is_of_another_clock(now, self.limit):
            # The learned grant survives the log, and a restart of the machine's clock.
            # A log made anew on Redis has no origin yet; a jump of the clock changes no server.
            pace, origin = (self._pace, "") if log is None else (log.pace, log.origin)
            log = Departures(uuid.uuid4().hex, pace=pace, origin=origin)
        # After a jump of the log's clock, the last second is unknown.
        apart = now - self._clock()
        has_jumped = self._apart is not None and abs(apart - self._apart) > SETBACK
        is_lost = has_jumped or self._born not in ("", log.born)
        window = log.window(self.limit)[1]
        if is_lost and self._clock() - self._departed < window + LATEST:
            # The earlier log of this process is lost, and with it the requests of the last second.
            log.not_before = max(log.not_before, now + window + GUARD)
        if log.origin != self._state.origin:
            # Redis was emptied or failed over: the newest requests of any process may be missing.
            log.not_before = max(log.not_before, now + window + GUARD)
            log.origin = self._state.origin
        return log, apart

    def _too_late(self, deadline: float) -> RateLimited:
        wait = max(0.0, deadline - self._clock())
        return RateLimited(
            f"no permit within {wait:.1f} s (KIS_API_QUEUE_TIMEOUT): too many requests are waiting"
        )

"""One request rate for all processes of an account: who may send when. Sends nothing itself.

A paced sliding-window log. A caller reserves the next free slot, sleeps until it is due, and
confirms right before it sends; afterwards it settles how long the answer took. Nobody polls.

Why three steps: the server counts arrivals, the client knows departures. A request that was held
up on its way arrives late and crowds the second that follows. The confirmation therefore counts
the last second by *latest possible arrivals*: departure plus whatever the answer took beyond the
usual time of its endpoint. With that, no second as the server counts it holds more than the limit,
however much the machine stutters. The limit is what is set or what the server grants, if that is
less: `pace` finds it from refusals.

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
from kis_assets.transport.pace import Pace

T = TypeVar("T")

MARGIN = 0.012
"""Seconds added to the pace's window: 1 % of the quota, against refusals on the limit."""
GUARD = 0.005
"""Seconds added to the hard window of the confirmation."""
LOOK_BACK = 2.0
"""Seconds for which it is known what was sent, so as to tell what was accepted before a refusal."""
RESERVATIONS = 2
"""Slots a process may hold ahead: what a killed process takes with it."""
AHEAD = 120
"""A slot that stands further ahead than so many requests take is from before a clock was set."""
AHEAD_TOO = 30.0
"""Seconds more that a slot may stand ahead: it was reserved at a slower pace."""
SETBACK = 1.0
"""A request sent this many seconds from now, or more, is from before a clock was set."""
LATEST = 5.0
"""A late answer counts as a late arrival up to this many seconds; one that never comes, because its
process was killed, takes a place for as long."""
LOST = 60.0
"""Seconds after which a slot is given up whose owner has not come."""
WAY = 0.015
"""How much of an answer's usual time may vary on the way there without showing in the whole."""


class _Slot(msgspec.Struct, array_like=True):
    """A place in the row; `late` is None while the answer is not there."""

    due: float
    owner: str
    live: bool
    sent: float | None = None
    usual: float = 0.0
    late: float | None = None
    is_refused: bool = False


class _Log(msgspec.Struct, array_like=True):
    """What processes share: the slots in order, and what the server was found to grant.

    `born` names this log: one that was lost and made anew has another name. Nothing is sent
    before `not_before`.
    """

    born: str
    slots: list[_Slot] = msgspec.field(default_factory=list[_Slot])
    not_before: float = -math.inf
    pace: Pace = Pace()


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
_DECODER = msgspec.msgpack.Decoder(_Log)


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

        def look(log: _Log, now: float) -> dict[str, float]:
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

        def look(log: _Log, now: float) -> float:
            due, open_slots = self._next(log, now)
            return max(0.0, (open_slots[0].due if live and open_slots else due) - now)

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
        """Take the next free slot, or the next one of history's where `live`.

        Returns:
            Seconds until it is due; None, and nothing is taken, where that is too late.
        """
        patience = deadline - self._clock()

        def reserve(log: _Log, now: float) -> float | None:
            log.pace = log.pace.in_time(now, self.limit)
            due, open_slots = self._next(log, now)
            mine = open_slots[0].due if live and open_slots else due
            if mine - now > patience:
                return None
            holder, holder_live = owner, live
            if live:
                # Rotate: the live caller takes history's first open slot, each of history's
                # callers the next one, and the last of them the slot at the end.
                for slot in open_slots:
                    slot.owner, slot.live, holder, holder_live = (
                        holder,
                        holder_live,
                        slot.owner,
                        False,
                    )
            log.slots.append(_Slot(due, holder, holder_live))
            return mine - now

        return self._update(reserve)

    def _next(self, log: _Log, now: float) -> tuple[float, list[_Slot]]:
        """When the slot after the last one is due, and history's slots that are still to come."""
        slots, (count, window) = log.slots, self._window(log)
        # A window of one request has no neighbours to average over: it gets a wider margin.
        window += MARGIN + 0.03 / count
        due = max(now, log.not_before)
        if slots:
            due = max(due, slots[-1].due + window / count)
        if len(slots) >= count:
            due = max(due, slots[-count].due + window)
        return due, [
            slot for slot in slots if not slot.live and slot.sent is None and slot.due > now
        ]

    def _confirm(self, owner: str, kind: str) -> float:
        """Mark the slot as sent and return 0, or return how long to sleep first."""
        usual = min(self._usual[kind], default=0.0)

        def confirm(log: _Log, now: float) -> float:
            slot = next((slot for slot in reversed(log.slots) if slot.owner == owner), None)
            if slot is None:  # what was shared is lost: no memory of any second is left
                due, _ = self._next(log, now)
                log.slots.append(_Slot(max(due, now + self._window(log)[1]), owner, False))
                return log.slots[-1].due - now
            due = max(slot.due, log.not_before)
            if due > now:
                return due - now
            arrivals = sorted(_arrival(slot, now) for slot in log.slots if slot.sent is not None)
            count, window = self._window(log)
            if len(arrivals) >= count:
                free = arrivals[-count] + window + GUARD
                if free > now:
                    return free - now
            slot.sent, slot.usual, slot.late = now, usual, None
            return 0.0

        return self._update(confirm)

    def _settle(self, owner: str, kind: str, took: float, is_refused: bool = False) -> bool:
        """Note how long the answer took; whether the pace is to blame for a refusal."""
        usual = self._usual[kind]
        # The first answers of a process have no usual time yet: all they took may be lateness.
        shortest = min(usual, default=0.0)
        late = min(LATEST, max(0.0, took - shortest))
        usual.append(took)

        def settle(log: _Log, now: float) -> bool:
            slot = next((slot for slot in reversed(log.slots) if slot.owner == owner), None)
            if slot is None or slot.sent is None:
                return False
            slot.late, slot.usual = late, shortest
            if is_refused:
                return self._refused(log, slot, slot.sent, now)
            log.pace = log.pace.took(slot.sent, now, self.limit)
            return False

        # An answer that is there is worth more than its place in the log: unsettled, it counts
        # as late as it can be.
        with suppress(ServiceUnavailable):
            return self._update(settle)
        return False

    def _refused(self, log: _Log, slot: _Slot, sent: float, now: float) -> bool:
        """Slow down where the pace is to blame: whether others were accepted shortly before."""
        slot.is_refused = True
        before = [
            sent - other.sent
            for other in log.slots
            if other.sent is not None and not other.is_refused and other is not slot
        ]
        accepted = sum(0 < ago < 1.0 for ago in before)
        old = log.pace
        log.pace = old.refused(sent, now, accepted, self.limit, self._wall_clock())
        if log.pace.has_been_lowered(old):
            # Until the server's second is over; then it shows what is granted from the start.
            log.not_before = max(log.not_before, now + 1.0 + GUARD)
        # Slots that were taken at the old pace must not come due all at once.
        due, rate = max(now, log.not_before), log.pace.within(self.limit)
        for other in log.slots:
            if other.sent is None and other.due > now - LOST:
                other.due = max(other.due, due)
                due = other.due + 1 / rate
        return any(0 < ago < LOOK_BACK for ago in before)

    def _update(self, change: Callable[[_Log, float], T], *, writes: bool = True) -> T:
        def whole(
            value: bytes | None, now: float
        ) -> tuple[bytes | None, tuple[str, float, Pace, T]]:
            log, apart = self._log(value, now)
            result = change(log, now)
            self._forget(log, now)
            return _ENCODER.encode(log) if writes else None, (log.born, apart, log.pace, result)

        born, apart, self._pace, result = self._state.update(self._key, whole, self._clock)
        if writes:
            # Not before it is written: a change may be made several times until one is taken.
            self._born, self._apart = born, apart
        return result

    def _log(self, value: bytes | None, now: float) -> tuple[_Log, float]:
        """What is shared, and how far its clock is from that of this process."""
        log = None
        with suppress(msgspec.DecodeError):
            log = _DECODER.decode(value or b"")
        if log is None or self._is_of_another_clock(log, now):
            # What the server grants outlives the log, and the clock of a machine that restarted.
            log = _Log(uuid.uuid4().hex, pace=self._pace if log is None else log.pace)
        # Where the log's clock jumps, the last second looks like another one.
        apart = now - self._clock()
        has_jumped = self._apart is not None and abs(apart - self._apart) > SETBACK
        is_lost = has_jumped or self._born not in ("", log.born)
        window = self._window(log)[1]
        if is_lost and self._clock() - self._departed < window + LATEST:
            # The log this process wrote to is gone, and with it who sent in the last second.
            log.not_before = max(log.not_before, now + window + GUARD)
        return log, apart

    def _is_of_another_clock(self, log: _Log, now: float) -> bool:
        if not log.slots:
            return False
        sent = max((slot.sent for slot in log.slots if slot.sent is not None), default=now)
        ahead = AHEAD / log.pace.within(self.limit) + AHEAD_TOO
        return log.slots[-1].due > now + ahead or sent > now + SETBACK

    def _forget(self, log: _Log, now: float) -> None:
        """Leave out what no window can reach any more."""
        count, window = self._window(log)
        spare = max(0, len(log.slots) - count)
        oldest = now - max(window, LOOK_BACK) - GUARD
        log.slots = [
            slot for slot in log.slots[:spare] if self._is_needed(slot, now, oldest)
        ] + log.slots[spare:]

    def _is_needed(self, slot: _Slot, now: float, oldest: float) -> bool:
        if slot.sent is None:
            return slot.due > now - LOST
        return _arrival(slot, now) > oldest

    def _window(self, log: _Log) -> tuple[int, float]:
        """So many requests in so many seconds, at most."""
        rate = log.pace.within(self.limit)
        count = max(1, math.floor(rate))
        return count, count / rate

    def _too_late(self, deadline: float) -> RateLimited:
        wait = max(0.0, deadline - self._clock())
        return RateLimited(
            f"no permit within {wait:.1f} s (KIS_API_QUEUE_TIMEOUT): too many requests are waiting"
        )


def _arrival(slot: _Slot, now: float) -> float:
    """The latest moment at which the server may have counted a request that was sent."""
    sent = slot.sent or 0.0
    # An answer not yet there may have arrived as late as now less its usual way.
    late = slot.late
    if late is None:
        late = max(0.0, min(LATEST, now - sent - slot.usual))
    return sent + min(slot.usual, WAY) + late

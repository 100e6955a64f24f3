"""The log of sent requests that all processes of an account share: who may send when.

Pure rules: nobody waits here. The server counts arrivals, but the client knows only departures. A
delayed request arrives late and adds to the following second. Therefore the last second is counted
by *latest possible arrivals*: the departure plus the time that the answer took beyond the usual
time of its endpoint. Then no second of the server's clock holds more than the limit, even on a
machine that stalls.
"""

from __future__ import annotations

import math

import msgspec

from kis_assets.transport.pace import Pace

MARGIN = 0.012
"""Seconds added to the window of the pace: 1 % of the quota, to avoid refusals at the limit."""
GUARD = 0.005
"""Seconds added to the hard window of the confirmation."""
LOOK_BACK = 2.0
"""Seconds for which sent requests are remembered: a refusal is compared with those accepted."""
AHEAD = 120
"""A slot that is more than this number of requests ahead was made before a clock was set back."""
AHEAD_TOO = 30.0
"""Extra seconds that a slot may be ahead: it may have been reserved at a slower pace."""
SETBACK = 1.0
"""A request sent this many seconds in the future was logged before a clock was set back."""
LATEST = 5.0
"""A late answer counts as a late arrival up to this many seconds. If its process was killed and it
never comes, its slot stays occupied for that time."""
LOST = 60.0
"""Seconds after which a slot is dropped if its owner has not used it."""
WAY = 0.015
"""The part of an answer's usual time by which the way there may vary unnoticed."""


class Slot(msgspec.Struct, array_like=True):
    """A place in the queue; `late` is None until the answer arrives."""

    due: float
    owner: str
    live: bool
    sent: float | None = None
    usual: float = 0.0
    late: float | None = None
    is_refused: bool = False

    def arrival(self, now: float) -> float:
        """The latest moment at which the server may have counted this sent request."""
        sent = self.sent or 0.0
        # Without an answer yet, it may have arrived as late as now minus its usual time.
        late = self.late
        if late is None:
            late = max(0.0, min(LATEST, now - sent - self.usual))
        return sent + min(self.usual, WAY) + late

    def is_needed(self, now: float, oldest: float) -> bool:
        """Whether a window that begins at `oldest` still includes this slot."""
        if self.sent is None:
            return self.due > now - LOST
        return self.arrival(now) > oldest


class Departures(msgspec.Struct, array_like=True):
    """The slots in order, and the pace that the server was found to grant.

    `born` names this log: a log made anew after a loss has another name. Nothing is sent before
    `not_before`. `origin` names the server that held it last; see `State.origin`. `limit` is always
    the requests a second that the setting allows.
    """

    born: str
    slots: list[Slot] = msgspec.field(default_factory=list[Slot])
    not_before: float = -math.inf
    pace: Pace = Pace()
    origin: str = ""

    def window(self, limit: float) -> tuple[int, float]:
        """The limit as (number of requests, seconds)."""
        rate = self.pace.within(limit)
        count = max(1, math.floor(rate))
        return count, count / rate

    def next_due(self, now: float, limit: float) -> float:
        """The time at which the slot after the last slot is due."""
        slots, (count, window) = self.slots, self.window(limit)
        # A window of a single request has nothing to average over, so it gets a wider margin.
        window += MARGIN + 0.03 / count
        due = max(now, self.not_before)
        if slots:
            due = max(due, slots[-1].due + window / count)
        if len(slots) >= count:
            due = max(due, slots[-count].due + window)
        return due

    def due_for(self, live: bool, now: float, limit: float) -> float:
        """When a slot taken now is due: a live caller takes the next slot of a history caller."""
        open_slots = self._open_slots(now) if live else []
        return open_slots[0].due if open_slots else self.next_due(now, limit)

    def reserve(
        self, owner: str, live: bool, now: float, limit: float, patience: float
    ) -> float | None:
        """Take the next free slot, or the next slot of a history caller if `live`.

        Returns:
            Seconds until it is due; None without taking a slot if they exceed `patience`.
        """
        self.pace = self.pace.in_time(now, limit)
        mine, last = self.due_for(live, now, limit), self.next_due(now, limit)
        if mine - now > patience:
            return None
        holder, holder_live = owner, live
        # Rotate: the live caller takes the first open history slot, each history caller takes the
        # next one, and the last of them takes the new slot at the end.
        for slot in self._open_slots(now) if live else ():
            slot.owner, holder = holder, slot.owner
            slot.live, holder_live = holder_live, False
        self.slots.append(Slot(last, holder, holder_live))
        return mine - now

    def confirm(self, owner: str, usual: float, now: float, limit: float) -> float:
        """Mark the owner's slot as sent and return 0, or return how long to sleep first."""
        slot = self._slot(owner)
        if slot is None:  # the shared log was lost: past requests are unknown
            due = max(self.next_due(now, limit), now + self.window(limit)[1])
            self.slots.append(Slot(due, owner, False))
            return due - now
        due = max(slot.due, self.not_before)
        if due > now:
            return due - now
        arrivals = sorted(slot.arrival(now) for slot in self.slots if slot.sent is not None)
        count, window = self.window(limit)
        if len(arrivals) >= count:
            free = arrivals[-count] + window + GUARD
            if free > now:
                return free - now
        slot.sent, slot.usual, slot.late = now, usual, None
        return 0.0

    def settle(self, owner: str, usual: float, late: float, now: float, limit: float) -> None:
        """Note how late the answer of an accepted request was."""
        if (slot := self._slot(owner)) is not None and slot.sent is not None:
            slot.late, slot.usual = late, usual
            self.pace = self.pace.took(slot.sent, now, limit)

    def refuse(
        self, owner: str, usual: float, late: float, now: float, limit: float, wall: float
    ) -> bool:
        """Note a refusal, and slow down if the pace caused it.

        Returns:
            Whether the pace caused it: whether other requests were accepted shortly before.
        """
        slot = self._slot(owner)
        if slot is None or slot.sent is None:
            return False
        slot.late, slot.usual, slot.is_refused = late, usual, True
        before = [
            slot.sent - other.sent
            for other in self.slots
            if other.sent is not None and not other.is_refused and other is not slot
        ]
        accepted = sum(0 < ago < 1.0 for ago in before)
        old = self.pace
        self.pace = old.refused(slot.sent, now, accepted, limit, wall)
        if self.pace.has_been_lowered(old):
            # Pause until the server's second is over; the next one shows the grant from its start.
            self.not_before = max(self.not_before, now + 1.0 + GUARD)
        # Slots reserved at the old pace must not become due all at once.
        due, rate = max(now, self.not_before), self.pace.within(limit)
        for other in self.slots:
            if other.sent is None and other.due > now - LOST:
                other.due = max(other.due, due)
                due = other.due + 1 / rate
        return any(0 < ago < LOOK_BACK for ago in before)

    def forget(self, now: float, limit: float) -> None:
        """Drop the slots that no window includes any more."""
        count, window = self.window(limit)
        spare = max(0, len(self.slots) - count)
        oldest = now - max(window, LOOK_BACK) - GUARD
        kept = [slot for slot in self.slots[:spare] if slot.is_needed(now, oldest)]
        self.slots = kept + self.slots[spare:]

    def is_of_another_clock(self, now: float, limit: float) -> bool:
        """Whether the log holds times that are impossible by the clock that shows `now`."""
        if not self.slots:
            return False
        sent = max((slot.sent for slot in self.slots if slot.sent is not None), default=now)
        ahead = AHEAD / self.pace.within(limit) + AHEAD_TOO
        return self.slots[-1].due > now + ahead or sent > now + SETBACK

    def _slot(self, owner: str) -> Slot | None:
        return next((slot for slot in reversed(self.slots) if slot.owner == owner), None)

    def _open_slots(self, now: float) -> list[Slot]:
        """The slots of history callers that are not due yet."""
        return [
            slot for slot in self.slots if not slot.live and slot.sent is None and slot.due > now
        ]

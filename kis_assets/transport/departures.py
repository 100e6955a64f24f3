"""The log of departures that all processes of an account share: which request may go when.

Pure rules: nobody waits here. The server counts arrivals and the client knows departures. A request
that was held up on its way arrives late and crowds the second that follows. So the last second is
counted by *latest possible arrivals*: departure plus whatever the answer took beyond the usual time
of its endpoint. With that, no second as the server counts it holds more than the limit, however
much the machine stutters.
"""

from __future__ import annotations

import math

import msgspec

from kis_assets.transport.pace import Pace

MARGIN = 0.012
"""Seconds added to the pace's window: 1 % of the quota, against refusals on the limit."""
GUARD = 0.005
"""Seconds added to the hard window of the confirmation."""
LOOK_BACK = 2.0
"""Seconds for which it is known what was sent, so as to tell what was accepted before a refusal."""
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


class Slot(msgspec.Struct, array_like=True):
    """A place in the row; `late` is None while the answer is not there."""

    due: float
    owner: str
    live: bool
    sent: float | None = None
    usual: float = 0.0
    late: float | None = None
    is_refused: bool = False

    def arrival(self, now: float) -> float:
        """The latest moment at which the server may have counted the request, which was sent."""
        sent = self.sent or 0.0
        # An answer not yet there may have arrived as late as now less its usual way.
        late = self.late
        if late is None:
            late = max(0.0, min(LATEST, now - sent - self.usual))
        return sent + min(self.usual, WAY) + late

    def is_needed(self, now: float, oldest: float) -> bool:
        """Whether a window that begins at `oldest` can still reach it."""
        if self.sent is None:
            return self.due > now - LOST
        return self.arrival(now) > oldest


class Departures(msgspec.Struct, array_like=True):
    """The slots in order, and what the server was found to grant.

    `born` names this log: one that was lost and made anew has another name. Nothing is sent before
    `not_before`. `limit` is everywhere the requests a second that the setting allows.
    """

    born: str
    slots: list[Slot] = msgspec.field(default_factory=list[Slot])
    not_before: float = -math.inf
    pace: Pace = Pace()

    def window(self, limit: float) -> tuple[int, float]:
        """So many requests in so many seconds, at most."""
        rate = self.pace.within(limit)
        count = max(1, math.floor(rate))
        return count, count / rate

    def next_due(self, now: float, limit: float) -> float:
        """When the slot after the last one is due."""
        slots, (count, window) = self.slots, self.window(limit)
        # A window of one request has no neighbours to average over: it gets a wider margin.
        window += MARGIN + 0.03 / count
        due = max(now, self.not_before)
        if slots:
            due = max(due, slots[-1].due + window / count)
        if len(slots) >= count:
            due = max(due, slots[-count].due + window)
        return due

    def due_for(self, live: bool, now: float, limit: float) -> float:
        """When a slot is due that is taken now: a live one takes history's next."""
        open_slots = self._open_slots(now) if live else []
        return open_slots[0].due if open_slots else self.next_due(now, limit)

    def reserve(
        self, owner: str, live: bool, now: float, limit: float, patience: float
    ) -> float | None:
        """Take the next free slot, or the next one of history's where `live`.

        Returns:
            Seconds until it is due; None, and nothing is taken, where those are more than
            `patience`.
        """
        self.pace = self.pace.in_time(now, limit)
        mine, last = self.due_for(live, now, limit), self.next_due(now, limit)
        if mine - now > patience:
            return None
        holder, holder_live = owner, live
        # Rotate: the live caller takes history's first open slot, each of history's callers the
        # next one, and the last of them the slot at the end.
        for slot in self._open_slots(now) if live else ():
            slot.owner, holder = holder, slot.owner
            slot.live, holder_live = holder_live, False
        self.slots.append(Slot(last, holder, holder_live))
        return mine - now

    def confirm(self, owner: str, usual: float, now: float, limit: float) -> float:
        """Mark the owner's slot as sent and return 0, or return how long to sleep first."""
        slot = self._slot(owner)
        if slot is None:  # what was shared is lost: no memory of any second is left
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
        """Note how late the answer of a request was that was accepted."""
        if (slot := self._slot(owner)) is not None and slot.sent is not None:
            slot.late, slot.usual = late, usual
            self.pace = self.pace.took(slot.sent, now, limit)

    def refuse(
        self, owner: str, usual: float, late: float, now: float, limit: float, wall: float
    ) -> bool:
        """Note a refusal, and slow down where the pace is to blame.

        Returns:
            Whether it is: whether others were accepted shortly before.
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
            # Until the server's second is over; then it shows what is granted from the start.
            self.not_before = max(self.not_before, now + 1.0 + GUARD)
        # Slots that were taken at the old pace must not come due all at once.
        due, rate = max(now, self.not_before), self.pace.within(limit)
        for other in self.slots:
            if other.sent is None and other.due > now - LOST:
                other.due = max(other.due, due)
                due = other.due + 1 / rate
        return any(0 < ago < LOOK_BACK for ago in before)

    def forget(self, now: float, limit: float) -> None:
        """Leave out what no window can reach any more."""
        count, window = self.window(limit)
        spare = max(0, len(self.slots) - count)
        oldest = now - max(window, LOOK_BACK) - GUARD
        kept = [slot for slot in self.slots[:spare] if slot.is_needed(now, oldest)]
        self.slots = kept + self.slots[spare:]

    def is_of_another_clock(self, now: float, limit: float) -> bool:
        """Whether what stands there cannot be by the clock that shows `now`."""
        if not self.slots:
            return False
        sent = max((slot.sent for slot in self.slots if slot.sent is not None), default=now)
        ahead = AHEAD / self.pace.within(limit) + AHEAD_TOO
        return self.slots[-1].due > now + ahead or sent > now + SETBACK

    def _slot(self, owner: str) -> Slot | None:
        return next((slot for slot in reversed(self.slots) if slot.owner == owner), None)

    def _open_slots(self, now: float) -> list[Slot]:
        """History's slots that are still to come."""
        return [
            slot for slot in self.slots if not slot.live and slot.sent is None and slot.due > now
        ]

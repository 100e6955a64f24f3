"""How many requests a second the server grants, learned from its refusals. Pure rules.

The setting is the maximum. The server may grant less: a new customer has three requests a second,
and another program may share the key. If refusals continue, the grant is the number accepted in the
second before. After some seconds without a refusal a quicker pace is tried. If it holds for two
seconds, it is kept and the next one is tried; the first refusal ends the trial and doubles the time
until the next. All times are those of the shared log.
"""

from __future__ import annotations

import math

import msgspec

ENOUGH = 3
"""So many refusals within RECENT show a real limit: KIS sometimes refuses below it, too."""
RECENT = 5.0
"""Seconds."""
SINGLE = 0.99
"""Factor on the pace after a refusal that may be an accident, at most once a second."""
SLOWEST = 0.5
"""Requests a second; refusals do not lower the pace below this."""
STEP = 1.5
"""How much quicker the next pace on trial is."""
FIRST_TRIAL, LAST_TRIAL = 5.0, 300.0
"""Seconds without a refusal until a quicker pace is tried: initially, and at most."""
TRIAL = 2
"""Length of a trial in seconds of requests: it includes a whole second of the server's clock."""
SLACK = 1.25
"""How much longer a trial may take; requests that come more slowly do not test the pace."""


class Pace(msgspec.Struct, array_like=True, frozen=True):
    """The requests sent a second (`rate`), and how many are known to be `granted`.

    During a trial `rate` is above `granted`. `since` is when `rate` was set; `accepted` counts the
    accepted requests of the trial; `refusals` are the sending times of recently refused requests.
    `found_at` is the wall-clock time at which `tried` requests a second were refused.
    """

    rate: float = math.inf
    granted: float = math.inf
    since: float = -math.inf
    wait: float = FIRST_TRIAL
    accepted: int = 0
    refusals: tuple[float, ...] = ()
    found_at: float = 0.0
    tried: float = 0.0

    def within(self, limit: float) -> float:
        """The requests a second to send if the setting allows `limit`."""
        return min(self.rate, limit)

    def refused(self, sent: float, now: float, accepted: int, limit: float, wall: float) -> Pace:
        """The pace after a refusal; `accepted` counts those accepted in the second before."""
        rate = self.within(limit)
        if sent < self.since <= now:  # it was sent at a pace that is no longer used
            return self
        if self.rate > self.granted:
            return Pace(
                granted := max(self.granted, min(accepted, rate)),
                granted,
                now,
                min(2 * self.wait, LAST_TRIAL),
                found_at=wall,
                tried=rate,
            )
        lately = tuple(at for at in self.refusals if 0 <= sent - at < RECENT)
        if len(lately) + 1 >= ENOUGH:
            found = max(1, accepted)
            slower = max(found if found < rate else 0.9 * rate, min(rate, SLOWEST))
            return Pace(slower, slower, now, self.wait, found_at=wall, tried=rate)
        if not lately or sent - lately[-1] >= 1.0:
            rate = max(SINGLE * rate, min(rate, SLOWEST))
        return msgspec.structs.replace(
            self,
            rate=rate,
            granted=rate,
            # A single refusal does not reset the list of refusals: earlier ones still count.
            refusals=(*lately, sent),
            found_at=wall,
            tried=self.within(limit),
        )

    def has_been_lowered(self, before: Pace) -> bool:
        """Whether all should pause until the server's second is over, after several refusals."""
        return before.rate <= before.granted and self.since > before.since

    def took(self, sent: float, now: float, limit: float) -> Pace:
        """The pace after an accepted request."""
        if self.rate <= self.granted or sent < self.since:
            return self
        needed = TRIAL * max(1, math.floor(self.rate))
        if sent - self.since > SLACK * needed / self.rate:
            return msgspec.structs.replace(self, since=sent, accepted=1)
        if self.accepted < needed:
            return msgspec.structs.replace(self, accepted=self.accepted + 1)
        proven = msgspec.structs.replace(
            self, granted=self.rate, since=now, wait=FIRST_TRIAL, accepted=0, refusals=()
        )
        return proven._tried(now, limit)

    def in_time(self, now: float, limit: float) -> Pace:
        """The pace at this moment: a quicker one on trial when its time has come."""
        quiet_since = max((self.since, *self.refusals))
        if self.rate > self.granted or 0 <= now - quiet_since < self.wait:
            return self
        return self._tried(now, limit)

    def _tried(self, now: float, limit: float) -> Pace:
        quicker = min(STEP * self.granted, limit)
        if quicker <= self.granted:
            return self
        return msgspec.structs.replace(self, rate=quicker, since=now, accepted=0)

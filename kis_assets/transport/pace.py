"""How many requests a second the server grants, found from what it refuses. Pure rules.

The setting is the most that is ever sent; what the server grants may be less: a new customer has
three a second, and another program may share the key. Where requests go on being refused, the
grant is what was accepted in the second before. After some quiet seconds a quicker pace is tried:
one that holds for two is kept and the next one tried, and the first refusal ends the trial and
doubles the time until the next. All times are those of the shared log.
"""

from __future__ import annotations

import math

import msgspec

ENOUGH = 3
"""So many refusals within RECENT are no accident: KIS refuses now and then below the limit too."""
RECENT = 5.0
"""Seconds."""
SINGLE = 0.99
"""What is left of the pace after a refusal that may be an accident, at most once a second."""
SLOWEST = 0.5
"""Requests a second below which refusals lower the pace no further."""
STEP = 1.5
"""How much quicker the next pace to be tried is."""
FIRST_TRIAL, LAST_TRIAL = 5.0, 300.0
"""Seconds without a refusal until a quicker pace is tried: at first, and at most."""
TRIAL = 2
"""Seconds whose requests a trial sends, so that one whole second of the server's clock is among
them."""
SLACK = 1.25
"""How much longer it may take; requests that come more slowly prove nothing of the pace."""


class Pace(msgspec.Struct, array_like=True, frozen=True):
    """What is sent a second (`rate`), and how much of it is known to be `granted`.

    `rate` is above `granted` on trial. `since` is when it was set, `accepted` how many requests of
    the trial were. `refusals` says when those were sent that were refused lately. `found_at` is the
    moment of the wall clock at which `tried` requests a second were refused.
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
        """Requests a second to send where the setting allows `limit`."""
        return min(self.rate, limit)

    def refused(self, sent: float, now: float, accepted: int, limit: float, wall: float) -> Pace:
        """The pace after a refusal of what was sent then; `accepted` were, the second before."""
        rate = self.within(limit)
        if sent < self.since <= now:  # at a pace that was given up since
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
            # A lone refusal starts no new count of refusals: what was sent before it still counts.
            refusals=(*lately, sent),
            found_at=wall,
            tried=self.within(limit),
        )

    def has_been_lowered(self, before: Pace) -> bool:
        """Whether so many were refused that all should pause until the server's second is over."""
        return before.rate <= before.granted and self.since > before.since

    def took(self, sent: float, now: float, limit: float) -> Pace:
        """The pace after a request that was sent then was accepted."""
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
        """The pace at that moment: a quicker one on trial, where it is time for it."""
        quiet_since = max((self.since, *self.refusals))
        if self.rate > self.granted or 0 <= now - quiet_since < self.wait:
            return self
        return self._tried(now, limit)

    def _tried(self, now: float, limit: float) -> Pace:
        quicker = min(STEP * self.granted, limit)
        if quicker <= self.granted:
            return self
        return msgspec.structs.replace(self, rate=quicker, since=now, accepted=0)

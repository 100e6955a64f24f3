"""One request rate for all processes of an account: who may send when. Sends nothing itself.

A paced sliding-window log. A caller reserves the next free slot, sleeps until it is due, and
confirms right before it sends; afterwards it settles how long the answer took. Nobody polls.

Why three steps: the server counts arrivals, the client knows departures. A request that was held
up on its way arrives late and crowds the second that follows. The confirmation therefore counts
the last second by *latest possible arrivals*: departure plus whatever the answer took beyond the
usual time of its endpoint. With that, no second as the server counts it holds more than the limit,
however much the machine stutters.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from kis_assets.kis.errors import RateLimited
from kis_assets.kis.shared import SharedState

MARGIN = 0.02
"""Seconds added to the pace's window: 2 % of the quota, against refusals on the limit."""
GUARD = 0.005
"""Seconds added to the hard window of the confirmation."""
WIDEN = 0.01
"""How much of the window a refusal adds to the pace of all processes, at most once a second."""
WIDEST = 0.5
RECOVERY = 30.0
"""Seconds in which two thirds of the widening are taken back."""
RESERVATIONS = 2
"""Slots a process may hold ahead: what a killed process takes with it."""
RESTART = 120.0
"""A slot due later than this many seconds from now is from before the machine was restarted."""
LATEST = 1.0
"""A late answer counts as a late arrival up to this many seconds."""
WAY = 0.015
"""How much of an answer's usual time may vary on the way there without showing in the whole."""


class Quota:
    """At most `rate` requests in any second, over all processes that share `state`.

    Live captures go before history: a live caller takes over the next slot that history has
    reserved, and history moves one back.
    """

    def __init__(
        self,
        state: SharedState,
        name: str,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state = state
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self.count = max(1, math.floor(rate))
        self.window = self.count / rate
        self._waiting = {True: 0, False: 0}
        self._turns = {live: threading.Semaphore(RESERVATIONS) for live in (True, False)}
        self._usual: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=64))
        self._lock = threading.Lock()

    @contextmanager
    def permit(self, kind: str, *, live: bool = False, timeout: float = 30.0) -> Generator[None]:
        """Wait for a permit, hold it while sending, and settle it when the answer is there.

        `kind` names the endpoint: answers are compared with the usual time of their own kind.

        Raises:
            RateLimited: the permit would come later than `timeout` seconds from now.
        """
        owner = self._acquire(kind, live, self._clock() + timeout)
        departed = self._clock()
        try:
            yield
        finally:
            self._settle(owner, kind, self._clock() - departed)

    def refused(self) -> None:
        """Widen the pace of all processes: the server found it too quick."""
        now = self._clock()
        with self._state.transaction() as db:
            extra, refused_at = self._pace(db)
            if now - refused_at >= 1.0:
                extra = min(self._recovered(extra, refused_at, now) + WIDEN, WIDEST)
                db.execute("REPLACE INTO pace VALUES (?, ?, ?)", (self._name, extra, now))

    def status(self) -> dict[str, float]:
        """Requests a second allowed now, and requests sent in the last second."""
        now = self._clock()
        with self._state.transaction() as db:
            extra = self._recovered(*self._pace(db), now)
            (sent,) = db.execute(
                "SELECT count(*) FROM slot WHERE quota = ? AND sent > ?", (self._name, now - 1)
            ).fetchone()
        return {"rate": self.count / (self.window * (1 + extra)), "last_second": sent}

    def _acquire(self, kind: str, live: bool, deadline: float) -> str:
        with self._lock:
            ahead = self._waiting[live]
            self._waiting[live] += 1
        try:
            # Whoever cannot be served in time is told at once, not after the wait.
            if self._clock() + ahead * self.window / self.count > deadline:
                raise self._too_late(deadline)
            turn = self._turns[live]
            if not turn.acquire(timeout=max(0.0, deadline - self._clock())):
                raise self._too_late(deadline)
            try:
                owner = f"{os.getpid()}-{uuid.uuid4().hex}"
                if self._reserve(owner, live, deadline) is None:
                    raise self._too_late(deadline)
                while (wait := self._confirm(owner, kind)) > 0:
                    self._sleep(wait)
                return owner
            finally:
                turn.release()
        finally:
            with self._lock:
                self._waiting[live] -= 1

    def _reserve(self, owner: str, live: bool, deadline: float) -> float | None:
        """Take the next free slot, or the next one of history's where `live`; its due time."""
        with self._state.transaction() as db:
            now = self._clock()
            rows = db.execute(
                "SELECT seq, due, owner, live, sent FROM slot WHERE quota = ? "
                "ORDER BY seq DESC LIMIT ?",
                (self._name, max(64, self.count)),
            ).fetchall()
            if (
                rows and rows[0][1] > now + RESTART
            ):  # the clock began anew: the machine was restarted
                db.execute("DELETE FROM slot WHERE quota = ?", (self._name,))
                rows = []
            window = self._paced_window(db, now)
            due = now
            if rows:
                due = max(due, rows[0][1] + window / self.count)
            if len(rows) >= self.count:
                due = max(due, rows[self.count - 1][1] + window)
            seq = rows[0][0] + 1 if rows else 1
            open_slots = [r for r in reversed(rows) if not r[3] and r[4] is None and r[1] > now]
            mine = open_slots[0][1] if live and open_slots else due
            if mine > deadline:
                return None
            holder, holder_live = owner, live
            if live:
                # Rotate: the live caller takes history's first open slot, each of history's
                # callers the next one, and the last of them the slot at the end.
                for slot_seq, _, slot_owner, _, _ in open_slots:
                    db.execute(
                        "UPDATE slot SET owner = ?, live = ? WHERE quota = ? AND seq = ?",
                        (holder, holder_live, self._name, slot_seq),
                    )
                    holder, holder_live = slot_owner, False
            db.execute(
                "INSERT INTO slot VALUES (?, ?, ?, ?, ?, NULL, 0, 0)",
                (self._name, seq, due, holder, holder_live),
            )
            db.execute(
                "DELETE FROM slot WHERE quota = ? AND seq <= ?",
                (self._name, seq - 2 * max(64, self.count)),
            )
            return mine

    def _confirm(self, owner: str, kind: str) -> float:
        """Mark the slot as sent and return 0, or return how long to sleep first."""
        with self._state.transaction() as db:
            now = self._clock()
            row = db.execute(
                "SELECT seq, due FROM slot WHERE quota = ? AND owner = ?", (self._name, owner)
            ).fetchone()
            if row is None:  # the shared file was deleted: no memory of any second is left
                db.execute(
                    "INSERT INTO slot SELECT ?, ifnull(max(seq), 0) + 1, ?, ?, 0, NULL, 0, 0 "
                    "FROM slot WHERE quota = ?",
                    (self._name, now + self.window, owner, self._name),
                )
                return self.window
            seq, due = row
            if due > now:
                return due - now
            # An answer not yet there may have arrived as late as now less its usual way.
            latest = db.execute(
                "SELECT sent + min(usual, ?) + "
                "CASE WHEN late IS NULL THEN max(0, min(?, ? - sent - usual)) ELSE late END "
                "AS arrival FROM slot WHERE quota = ? AND sent IS NOT NULL "
                "ORDER BY arrival DESC LIMIT 1 OFFSET ?",
                (WAY, LATEST, now, self._name, self.count - 1),
            ).fetchone()
            if latest is not None and latest[0] + self.window + GUARD > now:
                return latest[0] + self.window + GUARD - now
            db.execute(
                "UPDATE slot SET sent = ?, usual = ?, late = NULL WHERE quota = ? AND seq = ?",
                (now, min(self._usual[kind], default=0.0), self._name, seq),
            )
            return 0.0

    def _settle(self, owner: str, kind: str, took: float) -> None:
        usual = self._usual[kind]
        # The first answers of a process have no usual time yet: all they took may be lateness.
        shortest = min(usual, default=0.0)
        late = min(LATEST, max(0.0, took - shortest))
        usual.append(took)
        with self._state.transaction() as db:
            db.execute(
                "UPDATE slot SET late = ?, usual = ? WHERE quota = ? AND owner = ?",
                (late, shortest, self._name, owner),
            )

    def _pace(self, db: sqlite3.Connection) -> tuple[float, float]:
        row = db.execute(
            "SELECT extra, refused_at FROM pace WHERE quota = ?", (self._name,)
        ).fetchone()
        return row or (0.0, -math.inf)

    def _recovered(self, extra: float, refused_at: float, now: float) -> float:
        return extra * math.exp(-(now - refused_at) / RECOVERY) if now >= refused_at else 0.0

    def _paced_window(self, db: sqlite3.Connection, now: float) -> float:
        extra = self._recovered(*self._pace(db), now)
        # A window of one request has no neighbours to average over: it gets a wider margin.
        return self.window * (1 + extra) + MARGIN + 0.03 / self.count

    def _too_late(self, deadline: float) -> RateLimited:
        wait = max(0.0, deadline - self._clock())
        return RateLimited(
            f"no permit within {wait:.1f} s (KIS_API_QUEUE_TIMEOUT): too many requests are waiting"
        )

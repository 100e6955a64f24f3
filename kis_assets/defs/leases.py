"""Signs of life of processes that run assets, for hosts that cannot see each other's processes.

On one machine a lock file tells whether a process lives. Several hosts have Redis: there a process
holds a lease, which the server drops soon after the process gave its last sign of life. A host may
have been frozen, or cut off, and come back when its run was ended and asked for again. So a process
asks before each write whether its run is still at work, and is interrupted where it is not.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import dagster as dg
from pydantic import SecretStr

from kis_assets.errors import KISError
from kis_assets.lake.lake import LakeError
from kis_assets.state.redis import Redis

BEAT = 5.0
"""Seconds between two signs of life."""
LASTS = 15.0
"""Seconds after the last one until the server drops the lease, by its own clock."""

_pulses: dict[str, Pulse] = {}


class Pulse:
    """The signs of life of this process, from a thread of their own."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis, self._name = redis, name
        self.runs: dict[str, dg.DagsterInstance] = {}
        """Those at work here in the main thread, which alone can be interrupted."""

    def start(self) -> None:
        """Give them from now on, until the process ends; the first one at once."""
        self.beat()
        threading.Thread(target=self._go_on, name="pulse", daemon=True).start()

    def beat(self) -> None:
        """Give one, and interrupt the process if others have ended a run of it."""
        with suppress(KISError):  # it goes on; without Redis no request is sent either
            self._redis.lease(self._name, LASTS)
        for run_id, instance in list(self.runs.items()):
            with suppress(Exception):  # the storage does not answer: nothing is known
                if _is_over(instance, run_id) and run_id in self.runs:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _go_on(self) -> None:
        while True:
            time.sleep(BEAT)
            self.beat()


def hold(redis_url: SecretStr, name: str) -> None:
    """Hold a lease of that name as long as this process lives."""
    if name not in _pulses:
        _pulses[name] = Pulse(Redis(redis_url), name)
        _pulses[name].start()


def watch(instance: dg.DagsterInstance, run_id: str, name: str) -> None:
    """Interrupt this process when others end the run, from now until `unwatch`."""
    if name in _pulses and threading.current_thread() is threading.main_thread():
        _pulses[name].runs[run_id] = instance


def unwatch(run_id: str) -> None:
    """The run comes to its end by itself."""
    for pulse in _pulses.values():
        pulse.runs.pop(run_id, None)


def fence(instance: dg.DagsterInstance, run_id: str) -> Callable[[], None] | None:
    """What to ask before a write of the run; None where no other host can end it."""
    if not _pulses:
        return None

    def may_write() -> None:
        if _is_over(instance, run_id):
            raise LakeError(
                "the run was ended while it was at work, because its host gave no sign of life or "
                "somebody canceled it: it stores nothing more"
            )

    return may_write


def lost(redis_url: SecretStr, names: Collection[str], sleep: Callable[[float], None]) -> set[str]:
    """The leases that nobody holds; none while the server does not answer.

    Where one seems lost, its process is given the time for two more signs of life: the server may
    have come back empty.
    """
    redis = Redis(redis_url)
    try:
        found = {name for name in names if not redis.is_leased(name)}
        if found:
            sleep(2 * BEAT)
        return {name for name in found if not redis.is_leased(name)}
    except KISError:
        return set()
    finally:
        redis.close()


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished

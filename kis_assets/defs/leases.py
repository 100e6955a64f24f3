"""Leases of processes that run assets, for hosts that cannot see each other's processes.

On one machine a lock file shows whether a process is alive. Several hosts use Redis: a process
renews a lease there, which the server drops soon after the last renewal. A host may be frozen or
cut off, and come back after its run was ended and requested again. So a process checks before each
write whether its run is still active, and it is interrupted if the run is not.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Collection
from contextlib import suppress

import dagster as dg
from pydantic import SecretStr

from kis_assets.errors import KISError
from kis_assets.lake.lake import LakeError
from kis_assets.settings import SettingsError
from kis_assets.state.redis import Redis

log = logging.getLogger(__name__)

BEAT = 5.0
"""Seconds between two renewals of a lease."""
LASTS = 15.0
"""Seconds after the last renewal until the server drops the lease, by the server's clock."""
PATIENCE = 20.0
"""Seconds that a lost lease may take to come back: longer than a renewal that fails, which takes
four times `WAIT` of `state.redis`, and the time until the next one."""

_pulses: dict[str, Pulse] = {}


class Pulse:
    """Two threads of this process: one renews its lease, one looks whether its runs are active.

    A storage of runs that does not answer must not end the lease.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis, self._name = redis, name
        self.runs: dict[str, dg.DagsterInstance] = {}
        """The active runs of this process's main thread; only that thread can be interrupted."""

    def start(self) -> None:
        """Renew the lease now, and then do both regularly until the process ends."""
        self.renew()
        for work in (self.renew, self.look):
            threading.Thread(target=_repeat, args=(work,), name="pulse", daemon=True).start()

    def renew(self) -> None:
        """Renew the lease once."""
        with suppress(KISError):  # go on: without Redis no request is sent either
            self._redis.lease(self._name, LASTS)

    def look(self) -> None:
        """Interrupt the process if another host ended one of its runs."""
        for run_id, instance in list(self.runs.items()):
            with suppress(Exception):  # the storage does not answer, so the state is unknown
                if _is_over(instance, run_id) and run_id in self.runs:
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _repeat(work: Callable[[], None]) -> None:
    never = threading.Event()
    while not never.wait(BEAT):
        work()


def hold(redis_url: SecretStr, name: str) -> bool:
    """Hold a lease of this name as long as this process lives; returns whether it can."""
    if name not in _pulses:
        if (redis := _opened(redis_url)) is None:
            return False
        _pulses[name] = Pulse(redis, name)
        _pulses[name].start()
    return True


def _opened(redis_url: SecretStr) -> Redis | None:
    try:
        return Redis(redis_url)
    except SettingsError as error:  # no package `redis`, or a wrong option
        log.warning("no run on another host is judged, and none here can be: %s", error)
        return None


def watch(instance: dg.DagsterInstance, run_id: str, name: str) -> None:
    """Interrupt this process if another host ends the run, from now until `unwatch`."""
    if name in _pulses and threading.current_thread() is threading.main_thread():
        _pulses[name].runs[run_id] = instance


def unwatch(run_id: str) -> None:
    """Stop watching a run that ends normally."""
    for pulse in _pulses.values():
        pulse.runs.pop(run_id, None)


def fence(instance: dg.DagsterInstance, run_id: str) -> Callable[[], None] | None:
    """A check to call before each write of the run; None if no other host can end it."""
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
    """The leases that no process holds; empty while the server does not answer.

    A process whose lease seems lost gets `PATIENCE` to renew it: the server may have lost its data
    in a restart, and a renewal that began before may have to fail first.
    """
    if (redis := _opened(redis_url)) is None:
        return set()
    try:
        found = {name for name in names if not redis.is_leased(name)}
        if found:
            sleep(PATIENCE)
        return {name for name in found if not redis.is_leased(name)}
    except KISError:
        return set()
    finally:
        redis.close()


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished

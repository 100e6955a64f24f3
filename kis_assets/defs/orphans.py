"""Runs whose process is gone: how that is told, and how they end.

Dagster asks the run launcher whether a run is alive, and its default launcher cannot say: a run
that was killed with its machine stays started and keeps its pool's only place. So each process that
runs assets holds a lock file as long as it lives, and its runs name it in a tag. The system gives
the lock up with the process, whatever ended it; process ids come again after a restart. Where hosts
share a Redis server, the process holds a lease there too, which other hosts can see (`leases.py`).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster_shared.error import SerializableErrorInfo
from filelock import FileLock, Timeout
from pydantic import SecretStr

from kis_assets.defs import leases
from kis_assets.defs.agreement import is_made_elsewhere

TAG = "kis_assets/process"
"""On a run or a typed backfill: host, start of its system, lock that its process holds, and itself.

Dagster copies tags to a run that is started again, where they are not true.
"""
SOURCE = "kis_assets/source"
"""On a run: where its rows are from."""
POOLS = ("kis_live", "kis_history", "krx")
_LAUNCHED = ".dagster/grpc_info"
"""On a run that Dagster started in a process of its own."""
PATIENCE = 45.0
"""Seconds that a run's process has until it holds its lock; a busy machine needs ten."""
_KEPT = 86400.0
"""Seconds that a lock file nobody holds is left there."""
_GONE = "its process is gone: it was killed, or the machine went down or was restarted"
_SILENT = "its host, {}, gives no sign of life: it went down, is cut off, or the process was killed"

_held: dict[Path, FileLock] = {}
_marked: dict[str, str] = {}
"""Runs that name this process, with the source they name."""


def mark(
    instance: dg.DagsterInstance,
    run_id: str,
    source: str = "",
    redis_url: SecretStr | None = None,
) -> None:
    """Hold this process's lock from now on, and have the run name it, and its source if given.

    With `redis_url` it holds a lease too, and is interrupted when others end the run.
    """
    if run_id in _marked and source in ("", _marked[run_id]):  # each resource of a run does it
        return
    _marked[run_id] = source
    if tag := process_tag(instance, run_id, redis_url):
        instance.add_run_tags(run_id, tag | ({SOURCE: source} if source else {}))
        leases.watch(instance, run_id, json.loads(tag[TAG])["lock"])


def process_tag(
    instance: dg.DagsterInstance, of: str, redis_url: SecretStr | None = None
) -> dict[str, str]:
    """Hold this process's lock from now on; the tag that names it on a run or a backfill."""
    if instance.is_ephemeral:  # nobody else knows of the run
        return {}
    folder = _folder(instance)
    if folder not in _held:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{uuid4().hex}.lock", thread_local=False)
        lock.acquire()
        _held[folder] = lock
    name = Path(_held[folder].lock_file).name
    tag = {"host": socket.gethostname(), "boot": _boot(), "lock": name, "run": of}
    if redis_url is not None:
        leases.hold(redis_url, name)
        tag["lease"] = "redis"
    return {TAG: json.dumps(tag)}


def end(
    instance: dg.DagsterInstance,
    location: str | None,
    loaded_at: float,
    redis_url: SecretStr | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dg.DagsterRun]:
    """End all runs whose process is gone as failed, or as canceled where that was asked for.

    A run on another host is left alone, unless it holds a lease.

    Args:
        instance: Dagster's.
        location: the code location whose runs are started on this host.
        loaded_at: when it was loaded, in seconds since 1970. What was launched before was launched
            by a server that is gone.
        redis_url: where leases are held.
        sleep: waits for signs of life.

    Returns:
        The runs that were ended.
    """
    at_work = [dg.DagsterRunStatus[it] for it in ("STARTING", "STARTED", "CANCELING")]
    ended: list[dg.DagsterRun] = []
    runs = instance.get_runs(dg.RunsFilter(statuses=at_work))
    lost = _lost(instance, [_own(run.tags, run.run_id) for run in runs], redis_url, sleep)
    for run in runs:
        if not (why := _why_gone(instance, run, location, loaded_at, lost)):
            continue
        # Its last word may have come just before its process ended.
        latest = instance.get_run_by_id(run.run_id)
        if latest is None or latest.is_finished:
            continue
        if latest.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(latest, why)
        else:
            instance.report_run_failed(latest, why)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(latest)
    _sweep(_folder(instance))
    return ended


def end_backfills(
    instance: dg.DagsterInstance,
    redis_url: SecretStr | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """End all typed backfills whose process is gone as failed; their ids. See `end`."""
    ended: list[str] = []
    at_work = instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.COMPLETED]))
    tags = {it.backfill_id: json.loads(it.tags.get(TAG, "{}")) for it in at_work}
    tags = {of: tag for of, tag in tags.items() if tag.get("run") == of}
    lost = _lost(instance, [*tags.values()], redis_url, sleep)
    for found in at_work:
        if not (why := _why_dead(instance, tags.get(found.backfill_id, {}), lost)):
            continue
        # Its last word may have come just before its process ended.
        latest = instance.get_backfill(found.backfill_id)
        if latest is None or latest.status != BulkActionStatus.COMPLETED:
            continue
        failed = latest.with_status(BulkActionStatus.FAILED).with_end_timestamp(time.time())
        instance.update_backfill(failed.with_error(SerializableErrorInfo(why, [], None)))
        ended.append(latest.backfill_id)
    return ended


def _own(tags: Mapping[str, str], of: str) -> dict[str, str]:
    """What a run says of its process; nothing where it copied the words of another run."""
    tag = json.loads(tags.get(TAG, "{}"))
    return tag if tag.get("run", of) == of else {}


def _lost(
    instance: dg.DagsterInstance,
    tags: Iterable[dict[str, str]],
    redis_url: SecretStr | None,
    sleep: Callable[[float], None],
) -> set[str]:
    """The leases of processes out of sight that give no sign of life."""
    names = {tag["lock"] for tag in tags if "lease" in tag and not _sees(instance, tag)}
    return leases.lost(redis_url, names, sleep) if names and redis_url else set()


def _sees(instance: dg.DagsterInstance, tag: dict[str, str]) -> bool:
    """Whether the lock of a process can be judged from here."""
    # Containers of one machine have names of their own, and its locks in common.
    if tag["host"] != socket.gethostname() and (not tag["boot"] or tag["boot"] != _boot()):
        return False
    return (_folder(instance) / tag["lock"]).exists()


def _why_dead(instance: dg.DagsterInstance, tag: dict[str, str], lost: Collection[str]) -> str:
    """Why a process is taken for dead; empty if it is not."""
    if tag and _sees(instance, tag):
        return "" if _is_held(_folder(instance) / tag["lock"]) else _GONE
    return _SILENT.format(tag["host"]) if tag and tag["lock"] in lost else ""


def _why_gone(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    location: str | None,
    loaded_at: float,
    lost: Collection[str],
) -> str:
    """Why the process of a run is taken for gone; empty if it is not."""
    if tag := _own(run.tags, run.run_id):
        return _why_dead(instance, tag, lost)
    if location is not None and _location(run) != location:
        return ""
    if run.status == dg.DagsterRunStatus.STARTING:
        if is_made_elsewhere(instance):  # it waits for a worker, whatever was restarted here
            return ""
        launched_at = instance.get_run_stats(run.run_id).launch_time or time.time()
        return _GONE if launched_at < min(loaded_at, time.time() - PATIENCE) else ""
    # One that uses no resource of ours, or is of an earlier version: all there is is a number.
    pid = _pid(instance, run) if _LAUNCHED in run.tags else None
    return _GONE if pid is not None and not _exists(pid) else ""


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / "processes"


def _boot() -> str:
    """What Linux calls this start of the system; elsewhere nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0, thread_local=False):
            return False
    except (Timeout, OSError):  # another user's, or no file: nobody here can judge of it
        return True


def _location(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return origin and origin.repository_origin.code_location_origin.location_name


def _pid(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process that Dagster wrote down for a run."""
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    for event in events:
        data: Any = event.dagster_event and event.dagster_event.event_specific_data
        if data is not None and "pid" in data.metadata:
            return int(data.metadata["pid"].value)
    return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sweep(folder: Path) -> None:
    """Remove the lock files of processes that ended more than a day ago."""
    for path in folder.glob("*.lock"):
        if path.lstat().st_mtime < time.time() - _KEPT and not _is_held(path):
            path.unlink(missing_ok=True)


def limit_pools(instance: dg.DagsterInstance) -> None:
    """Give the pools their limit before their first use.

    Dagster makes a pool when a run that needs it waits, and lets go whatever waits with it.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    if instance.global_op_concurrency_default_limit is None:
        return
    known = {pool.name for pool in storage.get_pool_limits()}
    for pool in POOLS:
        if pool not in known:
            storage.initialize_concurrency_limit_to_default(pool)

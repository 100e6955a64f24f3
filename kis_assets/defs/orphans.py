"""Finds runs whose process is gone, and ends them.

Dagster asks the run launcher whether a run is alive, but its default launcher cannot say. A run
that was killed with its machine stays started and keeps the only slot of its pool. Therefore each
process that runs assets holds a lock file as long as it lives, and its runs name that file in a
tag. The system releases the lock when the process ends, for any reason. Process ids are not enough:
they are reused after a restart. If hosts share a Redis server, the process also holds a lease
there, which other hosts can see (`leases.py`).
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
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
"""The tag of a run or a typed backfill: host, boot id, lock file of its process, and its own id.

Dagster copies tags to a run that is started again, where they are wrong: hence the id.
"""
SOURCE = "kis_assets/source"
"""The tag of a run that names the source of its rows."""
KEYS_A_RUN = 6
"""The number of app keys whose rate one run can use: a request and its rows take up to 8.4 ms of
CPU time, and a process uses one core."""
POOLS = ("kis_live", "kis_history", "krx")
_LAUNCHED = ".dagster/grpc_info"
"""The tag of a run that Dagster started in a process of its own."""
PATIENCE = 45.0
"""Seconds until a run's process must hold its lock; a busy machine needs ten."""
_KEPT = 86400.0
"""Seconds after which a lock file that no process holds is deleted."""
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
    """Hold this process's lock from now on, and tag the run with it, and its source if given.

    With `redis_url` it also holds a lease, and is interrupted if another host ends the run.
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
    """Hold this process's lock from now on; returns the tag that names it for a run or backfill."""
    if instance.is_ephemeral:  # no other process knows this run
        return {}
    folder = _folder(instance)
    if folder not in _held:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{uuid4().hex}.lock", thread_local=False)
        lock.acquire()
        _held[folder] = lock
    name = Path(_held[folder].lock_file).name
    tag = {"host": socket.gethostname(), "boot": _boot(), "lock": name, "run": of}
    if redis_url is not None and leases.hold(redis_url, name):
        tag["lease"] = "redis"
    return {TAG: json.dumps(tag)}


def end(
    instance: dg.DagsterInstance,
    location: str | None,
    loaded_at: float,
    redis_url: SecretStr | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """End all runs and typed backfills whose process is gone.

    A run ends as failed, or as canceled if that was requested; a backfill ends as failed. Those on
    other hosts are left alone, unless they hold a lease.

    Args:
        instance: Dagster's.
        location: the code location whose runs are started on this host.
        loaded_at: when it was loaded, in seconds since 1970. Earlier runs were launched by a
            server that is gone.
        redis_url: the Redis server that holds the leases.
        sleep: waits for signs of life.

    Returns:
        The ids of what was ended.
    """
    statuses = [dg.DagsterRunStatus[it] for it in ("STARTING", "STARTED", "CANCELING")]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    backfills = _typed_backfills(instance)
    tags = [*(_own(run.tags, run.run_id) for run in runs), *(tag for _, tag in backfills)]
    lost = _lost(instance, tags, redis_url, sleep)
    ended = [
        run.run_id
        for run in runs
        if (why := _why_gone(instance, run, location, loaded_at, lost))
        and _end_run(instance, run.run_id, why)
    ]
    ended += [
        backfill_id
        for backfill_id, tag in backfills
        if (why := _why_dead(instance, tag, lost)) and _end_backfill(instance, backfill_id, why)
    ]
    _sweep(_folder(instance))
    return ended


def _end_run(instance: dg.DagsterInstance, run_id: str, why: str) -> bool:
    """End a run; returns False if its last event arrived just before its process ended."""
    latest = instance.get_run_by_id(run_id)
    if latest is None or latest.is_finished:
        return False
    if latest.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(latest, why)
    else:
        instance.report_run_failed(latest, why)
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return True


def _typed_backfills(instance: dg.DagsterInstance) -> list[tuple[str, dict[str, str]]]:
    """The ids of the typed backfills at work, with the tags of their processes."""
    at_work = instance.get_backfills(BulkActionsFilter(statuses=[BulkActionStatus.COMPLETED]))
    tags = ((it.backfill_id, json.loads(it.tags.get(TAG, "{}"))) for it in at_work)
    return [(backfill_id, tag) for backfill_id, tag in tags if tag.get("run") == backfill_id]


def _end_backfill(instance: dg.DagsterInstance, backfill_id: str, why: str) -> bool:
    """End a backfill; returns False if its last update arrived just before its process ended."""
    latest = instance.get_backfill(backfill_id)
    if latest is None or latest.status != BulkActionStatus.COMPLETED:
        return False
    failed = latest.with_status(BulkActionStatus.FAILED).with_end_timestamp(time.time())
    instance.update_backfill(failed.with_error(SerializableErrorInfo(why, [], None)))
    return True


def _own(tags: Mapping[str, str], of: str) -> dict[str, str]:
    """The process tag of a run; empty if the tag was copied from another run."""
    tag = json.loads(tags.get(TAG, "{}"))
    return tag if tag.get("run", of) == of else {}


def _lost(
    instance: dg.DagsterInstance,
    tags: Iterable[dict[str, str]],
    redis_url: SecretStr | None,
    sleep: Callable[[float], None],
) -> set[str]:
    """The leases of processes on other hosts that give no sign of life."""
    names = {tag["lock"] for tag in tags if "lease" in tag and not _sees(instance, tag)}
    return leases.lost(redis_url, names, sleep) if names and redis_url else set()


def _sees(instance: dg.DagsterInstance, tag: dict[str, str]) -> bool:
    """Whether this host can check the lock of a process."""
    # Containers of one machine have different host names but share its locks.
    if tag["host"] != socket.gethostname() and (not tag["boot"] or tag["boot"] != _boot()):
        return False
    return (_folder(instance) / tag["lock"]).exists()


def _why_dead(instance: dg.DagsterInstance, tag: dict[str, str], lost: Collection[str]) -> str:
    """The reason why a process counts as dead; empty if it does not."""
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
    """The reason why the process of a run counts as gone; empty if it does not."""
    if tag := _own(run.tags, run.run_id):
        return _why_dead(instance, tag, lost)
    if location is not None and _location(run) != location:
        return ""
    if run.status == dg.DagsterRunStatus.STARTING:
        if is_made_elsewhere(instance):  # it waits for a worker, so restarts here do not matter
            return ""
        launched_at = instance.get_run_stats(run.run_id).launch_time or time.time()
        return _GONE if launched_at < min(loaded_at, time.time() - PATIENCE) else ""
    # A run without our resources, or of an earlier version, has only a process id.
    pid = _pid(instance, run) if _LAUNCHED in run.tags else None
    return _GONE if pid is not None and not _exists(pid) else ""


def _folder(instance: dg.DagsterInstance) -> Path:
    """The folder of lock files: in DAGSTER_HOME, or a temporary one if that cannot be written.

    Containers have such a root. They do not see each other's locks, so they need leases.
    """
    home = Path(instance.root_directory)
    here = home if os.access(home, os.W_OK) else Path(tempfile.gettempdir()) / "kis_assets"
    return here / "processes"


def _boot() -> str:
    """Linux's id of this boot of the system; empty on other systems."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0, thread_local=False):
            return False
    except (Timeout, OSError):  # another user's file, or none: assume it is held
        return True


def _location(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return origin and origin.repository_origin.code_location_origin.location_name


def _pid(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process id that Dagster recorded for a run."""
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


def limit_pools(instance: dg.DagsterInstance, keys: int = 1) -> None:
    """Create the pools with their limits before first use; above 1 if there are many `keys`.

    Otherwise Dagster creates a pool while runs wait for it, and then starts all of them at once. A
    limit that a user set stays.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    if instance.global_op_concurrency_default_limit is None:
        return
    known = {pool.name: pool for pool in storage.get_pool_limits()}
    for pool in POOLS:
        if pool not in known:
            storage.initialize_concurrency_limit_to_default(pool)
        places = -(-keys // KEYS_A_RUN) if pool.startswith("kis_") else 1
        if places > 1 and (pool not in known or known[pool].from_default):
            storage.set_concurrency_slots(pool, places)

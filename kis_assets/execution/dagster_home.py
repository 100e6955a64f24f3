"""DAGSTER_HOME with Dagster's configuration and databases, and errors if they are unusable."""

from __future__ import annotations

import errno
import re
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from kis_assets.security.ownership import (
    disk_trouble,
    explained,
    is_refused,
    private_file,
    private_folder,
)
from kis_assets.settings import Settings

INSTANCE = """\
telemetry:
  enabled: false
concurrency:
  # By run, not by step: a run that waits for its place is in the queue and has no process.
  pools:
    default_limit: 1
    granularity: run
run_monitoring:
  enabled: true
  # It cannot tell whether a run is alive; the sensor `orphaned_runs` can, on this machine. This
  # ends what neither can judge, such as a run whose machine is no more.
  max_runtime_seconds: 86400
retention:
  # Of ticks. Runs stay: with a run Dagster would forget that its partition was ever made.
  schedule:
    purge_after_days: 90
  sensor:
    # `orphaned_runs` looks twice a minute.
    purge_after_days: {skipped: 1, success: 90, failure: 90}
nux:
  enabled: false
"""
_EARLIER = (
    "0ed518083f370ed4676646335dbe73aab6d0ac8f77af5372a728f59794440a2d",
    "9119a3f2e0b0797536b5f5fb32bfc50d3c3581f59f337e931e5f2e14adc15e6d",
    "b0bc40058db96c8b7777e6d0f9e06c26a35145aeb02951dbf7e130ff3bd81f7e",
)
"""SHA-256 of the files of earlier versions. Any other file belongs to the user and is kept."""
_IN_AN_ADDRESS = re.compile(r"%[0-9a-fA-F]{2}|\?")
"""Characters in a path that Dagster would misread, because it uses the path in a URL."""


class HomeFailed(OSError):
    """DAGSTER_HOME cannot be used; the message says why and what to do."""


@contextmanager
def failures(folder: Path) -> Generator[None]:
    """Explain errors while Dagster opens or reads its files in this folder.

    Raises:
        HomeFailed: an error occurred.
    """
    if _IN_AN_ADDRESS.search(str(folder)):
        raise HomeFailed(
            f"Dagster cannot keep its databases in {folder}: set DAGSTER_HOME to a path without ? "
            "and % in it"
        )
    try:
        yield
    except HomeFailed:
        raise
    except Exception as error:
        raise HomeFailed(sentence(folder, error)) from error


def is_earlier(config: Path) -> bool:
    """Whether `dagster.yaml` was written by an earlier version of this program."""
    return sha256(config.read_bytes()).hexdigest() in _EARLIER


def check_own(folder: Path) -> None:
    """Create the default home, or refuse one that this program did not make.

    Dagster runs code that `dagster.yaml` names, with access to the key, and a copied data folder
    may contain a foreign home.

    Raises:
        OSError: it belongs to another user, or this program did not write `dagster.yaml`.
    """
    private_folder(folder)
    config = folder / "dagster.yaml"
    private_file(config)
    if config.exists() and config.read_bytes() != INSTANCE.encode() and not is_earlier(config):
        raise HomeFailed(
            f"this program did not write {config}, and Dagster runs code that it names: delete it, "
            f"or set DAGSTER_HOME={folder} if it is yours"
        )


@contextmanager
def opened(folder: Path) -> Generator[dg.DagsterInstance]:
    """Dagster's instance in this folder, with readable databases. Raises Dagster's errors."""
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        instance.get_run_ids(limit=1)
        instance.get_asset_keys(limit=1)
        yield instance


@contextmanager
def in_process(folder: Path) -> Generator[dg.DagsterInstance]:
    """Dagster's instance for runs in this process, which does not capture the output of steps.

    Dagster would capture it with extra processes, which print a traceback at Ctrl-C. SIGTERM works
    like Ctrl-C here; Dagster ensures that only during a run.
    """
    noop = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    ref = InstanceRef.from_dir(str(folder), overrides={"compute_logs": noop})
    with dg.DagsterInstance.from_ref(ref) as instance, _ended_by_sigterm():
        yield instance


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():  # other threads get no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_readable(settings: Settings) -> bool:
    """True if Dagster can use its databases, False if there are none yet.

    Raises:
        HomeFailed: Dagster cannot use them.
    """
    folder = settings.dagster_home
    with failures(folder):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder")
        if folder.exists() and not settings.names_dagster_home:
            check_own(folder)
        if (folder / "dagster.yaml").exists():
            InstanceRef.from_dir(str(folder))
        if not (folder / "history" / "runs.db").exists():
            return False
        with opened(folder) as instance:
            # The database of schedules and sensors, which only the UI and the daemon need.
            instance.all_instigator_state()
            return True


def sentence(folder: Path, error: BaseException) -> str:
    """The message for an error of Dagster, its databases or the disk, with what to do."""
    package = type(error).__module__.partition(".")[0]
    reason = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error)
    reason = " ".join(reason.split())[:200]
    if is_refused(error):
        why = explained(error, folder)
        return f"DAGSTER_HOME, {folder}, cannot be used: {why}; it holds the history of runs"
    if trouble := disk_trouble(folder):
        return (
            f"DAGSTER_HOME, {folder}, cannot be used: {trouble}, or set it to another folder; it "
            "holds the history of runs, and no rows"
        )
    if isinstance(error, OSError) or package in ("sqlalchemy", "sqlite3", "alembic"):
        return (
            f"DAGSTER_HOME, {folder}, cannot be used ({reason}): check free space and "
            "permissions, or set it to another folder; it holds the history of runs, and no rows"
        )
    return (
        f"{folder}/dagster.yaml is not valid for Dagster ({reason}): correct it, or delete it to "
        "have it created again"
    )

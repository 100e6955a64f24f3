"""What Dagster keeps in DAGSTER_HOME: its configuration and databases, which may be unusable."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from kis_assets.ownership import explained, is_refused

_IN_AN_ADDRESS = re.compile(r"%[0-9a-fA-F]{2}|\?")
"""What Dagster, which makes an address of the path, would take for something else."""


class HomeFailed(OSError):
    """DAGSTER_HOME cannot be used; the message says why and what to do."""


@contextmanager
def failures(folder: Path) -> Generator[None]:
    """Name what goes wrong while Dagster opens or reads what it keeps in that folder.

    Raises:
        HomeFailed: anything did.
    """
    if _IN_AN_ADDRESS.search(str(folder)):
        raise HomeFailed(
            f"Dagster cannot keep its databases in {folder}: set DAGSTER_HOME to a path without ? "
            "and % in it"
        )
    try:
        yield
    except Exception as error:
        raise HomeFailed(sentence(folder, error)) from error


@contextmanager
def opened() -> Generator[dg.DagsterInstance]:
    """Dagster's instance in DAGSTER_HOME, whose databases can be read. Dagster's errors."""
    with dg.DagsterInstance.get() as instance:
        instance.get_run_ids(limit=1)
        instance.get_asset_keys(limit=1)
        yield instance


def examined(folder: Path) -> bool:
    """True when Dagster can use what it keeps there, False when it keeps nothing yet.

    Raises:
        HomeFailed: it cannot.
    """
    with failures(folder):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        if (folder / "dagster.yaml").exists():
            InstanceRef.from_dir(str(folder))
        if not (folder / "history" / "runs.db").exists():
            return False
        os.environ["DAGSTER_HOME"] = str(folder)
        with opened() as instance:
            # Of schedules and sensors; only `dagster dev` needs it.
            instance.all_instigator_state()
            return True


def sentence(folder: Path | str, error: BaseException) -> str:
    """What Dagster, its databases or the disk said, and what to do."""
    package = type(error).__module__.partition(".")[0]
    reason = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error)
    reason = " ".join(reason.split())[:200]
    if is_refused(error):
        why = explained(error, Path(folder) if folder else None)
        return f"DAGSTER_HOME, {folder}, cannot be used: {why}; it holds the history of runs"
    if isinstance(error, OSError) or package in ("sqlalchemy", "sqlite3", "alembic"):
        return (
            f"DAGSTER_HOME, {folder}, cannot be used ({reason}): see to free space and "
            "permissions, or set it to another folder; it holds the history of runs, and no rows"
        )
    return (
        f"{folder}/dagster.yaml is not what Dagster takes ({reason}): correct it, or delete it to "
        "have it made anew"
    )

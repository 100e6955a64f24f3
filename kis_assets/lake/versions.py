"""The files of the lake: immutable versions, stable names, temporary files, locks. No rows, no SQL.

The newest complete file of a storage unit under `versions/` is authoritative, and its stable name
under `parquet/` follows it. The next process repairs remnants of a killed one.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import filelock

from kis_assets.lake.damaged_files import is_whole
from kis_assets.lake.scope import LakeError
from kis_assets.security.ownership import explained, put, take_place, warn

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_STAMP_LENGTH = len("20260102T030405.678901Z")
_UNIT = re.compile(r"\w+=\d{4}(-\d\d){0,2}")
_VERSION = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}-[0-9a-f]{6}\.parquet")
# A writer holds a lock for seconds; after this time its process is assumed to hang.
_LOCK_SECONDS = 600


class Versions:
    """The versions of every unit of every table under one folder, shared by all processes.

    Methods that change files of a table require that the caller holds `lock(table)`.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], datetime],
        may_write: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._may_write = may_write or (lambda: None)

    def tables(self) -> list[str]:
        """The names of the tables ever written."""
        return sorted(_names(self.folder / "versions"))

    def units(self, table: str) -> list[str]:
        """The storage units of a table ever written, oldest first."""
        return sorted(filter(_UNIT.fullmatch, _names(self._folder(table))))

    def newest(self, table: str, unit: str, until: str | None = None) -> Path | None:
        """The newest version of a unit, or the newest stamped no later than `until`."""
        found = self._newest(str(self._folder(table)), unit, until)
        return None if found is None else Path(found)

    def every_newest(self, table: str, until: str | None = None) -> list[str]:
        """The paths of the newest versions of all units, oldest unit first; see `newest`."""
        # Plain text: with path objects ten thousand units would take a second longer.
        folder = str(self._folder(table))
        found = [self._newest(folder, unit, until) for unit in self.units(table)]
        return [path for path in found if path]

    def written_at(self, table: str, unit: str) -> list[datetime]:
        """When the kept versions of a unit were written, oldest first."""
        return [stamped_at(name) for name in self._names(table, unit)]

    def add(
        self,
        table: str,
        unit: str,
        tag: str,
        write: Callable[[Path], None],
        known_at: datetime | None = None,
    ) -> Path:
        """Let `write` write a file, and make it the newest version of the unit.

        The file appears atomically under its final name, after it is synced to the disk. `known_at`
        is for derived rows: since when their input is known; now if None.
        """
        temporary = self.temporary(table, ".parquet")
        try:
            write(temporary)
            sync(temporary)
            folder = _make(self._folder(table) / unit)
            # The stamp comes first: whoever is frozen after the question and comes back later is
            # older than what was written meanwhile, and never the newest.
            stamp = self._next_stamp(table, unit, known_at or self._clock())
            self._may_write()
            name = f"{stamp}-{secrets.token_hex(4)}-{tag}.parquet"
            target = folder / name
            temporary.replace(target)
            sync(folder)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def heal(self, table: str, unit: str) -> None:
        """Point the stable name of a unit to its newest version."""
        newest = self.newest(table, unit)
        if newest is None or self.is_healthy(table, unit):
            return
        temporary = self.temporary(table, ".parquet")
        stable = self._stable(table, unit)
        try:
            try:
                temporary.hardlink_to(newest)
            except OSError:
                # This file system has no links; times are copied too, to recognize the copy later.
                shutil.copy2(newest, temporary)
                sync(temporary)
            _make(stable.parent)
            take_place(temporary, stable)
        finally:
            temporary.unlink(missing_ok=True)

    def is_healthy(self, table: str, unit: str) -> bool:
        """Whether the stable name of a unit is its newest version, or there is no version."""
        return unit not in self._stale(table, [unit])

    def heal_all(self) -> None:
        """Heal every table that needs it, under its lock. The caller must hold no lock."""
        for table in self.tables():
            try:
                stale = self._stale(table, self.units(table))
                if stale or self._leftovers(table):
                    with self.lock(table):
                        self.sweep(table)
                        for unit in stale:
                            self.heal(table, unit)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                warn(f"{table}: {explained(error, self.folder)}")

    def prune(self, table: str, keep: timedelta) -> int:
        """Delete the versions that were replaced longer ago than `keep`; return how many."""
        limit = self._stamp(self._clock() - keep)
        doomed: list[Path] = []
        until = self._pruned_until(table)
        for unit in self.units(table):
            names = self._names(table, unit)
            if names and not is_whole(self._folder(table) / unit / names[-1]):
                continue  # the version before it is the newest readable one
            for old, newer in pairwise(names):
                # The time since it was replaced counts, not its age.
                if newer[:_STAMP_LENGTH] < limit:
                    doomed.append(self._folder(table) / unit / old)
                    until = max(until, newer[:_STAMP_LENGTH])
        if doomed:
            # Note this before deleting: a scan as of that time must fail, not return fewer rows.
            put(self._pruned_note(table), until.encode())
        for path in doomed:
            path.unlink(missing_ok=True)
        return len(doomed)

    def known_until(self, table: str, as_of: datetime) -> str:
        """The stamp up to which versions were known at an instant.

        Raises:
            LakeError: the instant is naive, or versions of that time were pruned.
        """
        if as_of.tzinfo is None:
            raise LakeError(f"{table}: as_of {as_of} has no time zone; give an aware datetime")
        until = self._stamp(as_of)
        if until < self._pruned_until(table):
            raise LakeError(
                f"{table}: what was known at {as_of} has been pruned; "
                "set KIS_LAKE_KEEP_DAYS higher to keep more from now on"
            )
        return until

    def temporary(self, owner: str, suffix: str) -> Path:
        """An unused, unpredictable path on the same file system as the lake."""
        return _make(self.folder / ".tmp") / f"{owner}-{secrets.token_hex(8)}{suffix}"

    def sweep(self, owner: str) -> None:
        """Remove the remnants of a killed process; the caller must hold the lock of the owner."""
        for path in self._leftovers(owner):
            path.unlink(missing_ok=True)

    @contextmanager
    def lock(self, name: str, seconds: float = _LOCK_SECONDS) -> Generator[None]:
        """Hold a lock among all processes and threads; it ends with its process.

        Raises:
            LakeError: another process has held it for this many seconds.
        """
        path = _make(self.folder / ".locks") / f"{name}.lock"
        held = filelock.FileLock(path, timeout=seconds, poll_interval=0.01, thread_local=False)
        try:
            held.acquire()
        except filelock.Timeout:
            raise LakeError(
                f"{name}: another process has held {path} for {seconds:.0f} s; "
                "find the run that hangs and stop it"
            ) from None
        try:
            yield
        finally:
            held.release()

    def _names(self, table: str, unit: str) -> list[str]:
        return _versions_in(f"{self._folder(table)}/{unit}")

    def _newest(self, folder: str, unit: str, until: str | None = None) -> str | None:
        names = _versions_in(f"{folder}/{unit}")
        if until is not None:
            names = [name for name in names if name[:_STAMP_LENGTH] <= until]
        return f"{folder}/{unit}/{names[-1]}" if names else None

    def _stale(self, table: str, units: list[str]) -> list[str]:
        """The units whose stable name is not their newest version."""
        folder, stable = str(self._folder(table)), str(self._stable(table, "*"))
        stale: list[str] = []
        for unit in units:
            newest = self._newest(folder, unit)
            if newest is None:
                continue
            right = os.stat(newest)  # noqa: PTH116  see every_newest
            try:
                there = os.stat(stable.replace("*", unit))  # noqa: PTH116
            except FileNotFoundError:
                stale.append(unit)
                continue
            is_link = (there.st_ino, there.st_dev) == (right.st_ino, right.st_dev)
            is_copy = (there.st_size, there.st_mtime_ns) == (right.st_size, right.st_mtime_ns)
            if not (is_link or is_copy):
                stale.append(unit)
        return stale

    def _next_stamp(self, table: str, unit: str, at: datetime) -> str:
        """A stamp later than all versions of the unit, even if the clock was set back."""
        stamp = self._stamp(at)
        names = self._names(table, unit)
        if names and names[-1][:_STAMP_LENGTH] >= stamp:
            return self._stamp(stamped_at(names[-1]) + timedelta(microseconds=1))
        return stamp

    def _stamp(self, at: datetime) -> str:
        return at.astimezone(UTC).strftime(_STAMP)

    def _folder(self, table: str) -> Path:
        return self.folder / "versions" / table

    def _stable(self, table: str, unit: str) -> Path:
        return self.folder / "parquet" / table / f"{unit}.parquet"

    def _leftovers(self, owner: str) -> list[Path]:
        names = _names(self.folder / ".tmp")
        return [self.folder / ".tmp" / name for name in names if name.startswith(f"{owner}-")]

    def _pruned_note(self, table: str) -> Path:
        return self._folder(table) / "pruned_until"

    def _pruned_until(self, table: str) -> str:
        note = self._pruned_note(table)
        until = content(note)
        if until and len(until) != _STAMP_LENGTH:
            raise LakeError(f"{note} is no note of this program: move it away")
        return until


def stamped_at(version: str) -> datetime:
    """When a version was written, from its name or path."""
    name = version.rpartition("/")[2]
    return datetime.strptime(name[:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC)


def content(note: Path) -> str:
    """The text of a note; empty if it does not exist."""
    try:
        return note.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return ""


def sync(path: Path) -> None:
    """Sync a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(folder: Path | str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  thousands of folders are listed at a time
    except (FileNotFoundError, NotADirectoryError):  # not a folder of the lake
        return []


def _versions_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(it.name for it in entries if _VERSION.fullmatch(it.name) and it.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _make(folder: Path) -> Path:
    """Create the folder and its parents if necessary, and sync them to the disk."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
    return folder

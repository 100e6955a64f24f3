"""Whether a folder that several machines mount does what a lake needs of it.

A lake needs locks that exclude among hosts (flock), renames that replace a file at once, files made
only if there is none, synced files and folders, times near the clock, and files of one host that
another one sees soon. Hosts that test the same folder at the same time find each other by a file.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import filelock

from kis_assets.lake.versions import sync
from kis_assets.security.mounts import is_network, kind_of

FOLDER = ".kis-assets-volume"
ROUNDS = 100
"""How often each host takes the lock, and how often a file is replaced while it is read."""
SOON = 3.0
"""Seconds within which a host must see what another one wrote."""
PATIENCE = 60.0
"""Seconds to wait for a host that was found and is silent now."""
_LEFT_BEHIND = 3600.0
"""Age in seconds of what a killed run left."""
_GLANCE = 0.02


class Seen(NamedTuple):
    """One thing that was tried: how it went, and what was seen."""

    what: str
    state: Literal["ok", "warn", "fail"]
    seen: str


def examine(volume: Path, wait: float) -> Iterator[Seen]:
    """Try everything of one host, then wait so many seconds for another host and try the rest.

    Raises:
        OSError: nothing can be written there.
    """
    kind = kind_of(volume)
    shared = "of a network" if is_network(kind) else "of this machine, or unknown"
    yield Seen("file system", "ok", f"{kind or 'not told by this system'} ({shared})")
    common = volume / FOLDER
    own = common / f"alone-{secrets.token_hex(8)}"
    own.mkdir(parents=True)
    _tidy(common, own)
    try:
        for what, tried in _ALONE.items():
            try:
                yield Seen(what, *tried(own))
            except (OSError, duckdb.Error) as error:
                yield Seen(what, "fail", f"{type(error).__name__}: {error}"[:200])
        yield from _together(common, wait)
    finally:
        shutil.rmtree(own, ignore_errors=True)
        with suppress(OSError):  # another host is still at it
            common.rmdir()


def _tidy(common: Path, own: Path) -> None:
    now = own.stat().st_mtime  # by the clock of the volume, as the others
    for path in common.iterdir():
        with suppress(OSError):
            if now - path.stat().st_mtime > _LEFT_BEHIND:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


Verdict = tuple[Literal["ok", "warn", "fail"], str]


def _locks(folder: Path) -> Verdict:
    path = folder / "lock"
    one, other = (filelock.FileLock(path, thread_local=False) for _ in range(2))
    with one:
        try:
            other.acquire(timeout=0)
        except filelock.Timeout:
            return "ok", "a lock that is held is not given again on this host"
        other.release()
    return "fail", "a lock that is held is given again: mount it with locks (NFS 4, no nolock)"


def _renames(folder: Path) -> Verdict:
    """Whether a reader of a file that is replaced all the time finds it, and whole."""
    path, done = folder / "renamed", threading.Event()
    whole = {bytes([letter]) * 65_536 for letter in b"ab"}
    path.write_bytes(min(whole))
    bad: list[str] = []

    def read() -> None:
        while not done.is_set():
            try:
                if path.read_bytes() not in whole:
                    bad.append("a part of it")
            except OSError as error:
                bad.append(type(error).__name__)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(ROUNDS):
            temporary = folder / f"new{number}"
            temporary.write_bytes(sorted(whole)[number % 2])
            temporary.replace(path)
    finally:
        done.set()
        reader.join()
    if bad:
        return "fail", f"a reader of a file that was replaced found {bad[0]} ({len(bad)} times)"
    return "ok", f"a file replaced {ROUNDS} times was always there and whole"


def _exclusive(folder: Path) -> Verdict:
    path = folder / "made"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return "ok", "a file that exists is not made anew"
    return "fail", "a file that exists is made anew by O_EXCL"


def _syncs(folder: Path) -> Verdict:
    path = folder / "synced"
    path.write_bytes(b"x")
    sync(path)
    sync(folder)
    return "ok", "files and folders can be synced"


def _links(folder: Path) -> Verdict:
    path = folder / "linked"
    path.write_bytes(b"x")
    try:
        (folder / "link").hardlink_to(path)
    except OSError:
        return "warn", "it has no hard links: the newest version of each file is stored twice"
    return "ok", "it has hard links"


def _times(folder: Path) -> Verdict:
    path = folder / "timed"
    before = time.time()
    path.write_bytes(b"x")
    written, after = path.stat().st_mtime, time.time()
    off = max(before - written, written - after, 0.0)
    if off > 60:
        return "fail", f"its clock is {off:.0f} s beside this machine's: set both"
    return ("warn" if off > 2 else "ok"), f"its clock is within {off:.1f} s of this machine's"


def _database(folder: Path) -> Verdict:
    path = folder / "database.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE it AS SELECT 42 AS number")
    with duckdb.connect(path, read_only=True) as connection:
        found = connection.execute("SELECT number FROM it").fetchone()
    return ("ok", "DuckDB writes and reads") if found == (42,) else ("fail", "DuckDB lost a row")


_ALONE: dict[str, Callable[[Path], Verdict]] = {
    "locks": _locks,
    "renames": _renames,
    "exclusive": _exclusive,
    "sync": _syncs,
    "links": _links,
    "times": _times,
    "database": _database,
}


class _Host:
    """This host's file, and what the other one's says: `beat seen rounds overlaps done`."""

    def __init__(self, common: Path) -> None:
        self.common, self.name = common, f"host-{secrets.token_hex(8)}"
        self.path = common / self.name
        self.said = [0, 0, 0, 0, 0]
        self.delays: list[float] = []
        self._told_at = time.monotonic()
        self.say()

    def say(self) -> None:
        temporary = self.common / f"{self.name}.new"
        temporary.write_text(" ".join(map(str, self.said)), encoding="ascii")
        temporary.replace(self.path)

    def others(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for path in self.common.glob("host-*"):
            if path.suffix != ".new" and path != self.path:
                with suppress(OSError, ValueError):
                    found[path.name] = [int(word) for word in path.read_text("ascii").split()]
        return found

    def talk(self, other: str) -> list[int]:
        """Answer the other host's beat, and measure how long it took to see this one's."""
        told = self.others().get(other) or [0, 0, 0, 0, 0]
        if told[1] == self.said[0]:  # it has seen the newest beat: half of the way there and back
            self.delays.append((time.monotonic() - self._told_at) / 2)
            self.said[0] += 1
            self._told_at = time.monotonic()
        if told[0] != self.said[1] or self.delays:
            self.said[1] = told[0]
            self.say()
        return told


def _together(common: Path, wait: float) -> Iterator[Seen]:
    me = _Host(common)
    try:
        other = _found(me, wait)
        if other is None:
            said = f"none came within {wait:g} s: run the same command there at the same time"
            yield Seen("other host", "warn", said)
            return
        yield Seen("other host", "ok", "it tests the same folder")
        yield from _tried_with(me, other)
    finally:
        for path in (me.path, common / "lock", common / "count", common / "inside"):
            path.unlink(missing_ok=True)


def _found(me: _Host, wait: float) -> str | None:
    """The first other host whose file changes: one that was left behind does not."""
    before, until = me.others(), time.monotonic() + wait
    me.said[0] = 1
    me.say()
    while time.monotonic() < until:
        for name, said in me.others().items():
            if before.get(name) != said:
                return name
        me.said[0] += 1
        me.say()
        time.sleep(_GLANCE)
    return None


def _tried_with(me: _Host, other: str) -> Iterator[Seen]:
    """Each host adds to a number under the lock; what is lost or overlaps tells of the locks."""
    lock = filelock.FileLock(me.common / "lock", poll_interval=0.005, thread_local=False)
    count, inside = me.common / "count", me.common / "inside"
    until = time.monotonic() + PATIENCE
    for _ in range(ROUNDS):
        with lock:
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                me.said[3] += 1
            number = int(count.read_text("ascii")) if count.exists() else 0
            temporary = me.common / f"{me.name}.new"
            temporary.write_text(str(number + 1), encoding="ascii")
            temporary.replace(count)
            inside.unlink(missing_ok=True)
        me.said[2] += 1
        told = me.talk(other)
        time.sleep(_GLANCE / 4)
    me.said[4] = 1
    told = me.talk(other)
    me.say()
    while not told[4] and time.monotonic() < until:
        time.sleep(_GLANCE)
        told = me.talk(other)
    with lock:
        number = int(count.read_text("ascii"))
    me.said[4] = 2
    me.say()
    while told[4] == 1 and time.monotonic() < until:  # until it has read the number, too
        time.sleep(_GLANCE)
        told = me.others().get(other) or [0, 0, 0, 0, 2]
    if not told[4]:
        yield Seen("locks of both", "fail", f"the other host fell silent after {told[2]} turns")
        return
    if overlaps := me.said[3] + told[3]:
        said = f"both hosts held one lock {overlaps} times: mount it with locks (NFS 4, no nolock)"
        yield Seen("locks of both", "fail", said)
    elif number != 2 * ROUNDS:
        said = f"{2 * ROUNDS - number} of {2 * ROUNDS} changes were lost: a host read an old file"
        yield Seen("locks of both", "fail", said)
    else:
        yield Seen("locks of both", "ok", f"{number} turns of two hosts, one at a time, none lost")
    slowest = max(me.delays, default=PATIENCE)
    said = f"what one host writes the other sees within {slowest:.2f} s"
    if slowest > SOON:
        said += ": readers are behind by that; mount it with a shorter cache (NFS: actimeo=1)"
    yield Seen("seen by both", "ok" if slowest <= SOON else "warn", said)

"""Whose files are, who else may read them, and files that are put in their place whole.

Windows has no owners and modes of this kind: there nothing is checked.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
import stat
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_LEFT_OVER = 60.0
"""Seconds after which a file that was to be put somewhere belongs to a process that is gone."""
_LEAST = 10**6
"""Bytes below which a disk is as good as full: SQLite needs that much beside its file."""
_REFUSED = re.compile(r"(?i)permission denied|operation not permitted|readonly database")
_QUOTED = re.compile(r"""["'](/[^"']+)["']""")
_OF_THE_DISK = (errno.ENOSPC, errno.EROFS)
HAS_OWNERS = hasattr(os, "geteuid")


@cache
def warn(sentence: str) -> None:
    """Log what is wrong with a file, once a process; commands show it."""
    logging.getLogger("kis_assets.files").warning("%s", sentence)


class Unfit(OSError):
    """A file or folder that cannot be used for what it is here; the message says what to do."""


def put(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a small file, whole or not at all, and follow no link.

    It is made under a name that nobody can foresee and that is new, and takes its place then. What
    killed processes left of it is removed.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    pattern = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.new")
    for name in os.listdir(path.parent):  # noqa: PTH208  the names alone are needed
        if pattern.fullmatch(name):
            remove_leftover(path.with_name(name))
    try:
        with open(aside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        take_place(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def take_place(source: Path, target: Path) -> None:
    """Put a file in its place. A folder that stands there, which is in nobody's way, is moved."""
    if target.is_dir() and not target.is_symlink():
        aside = target.with_name(f"{target.name}.{secrets.token_hex(4)}.moved")
        target.rename(aside)
        warn(f"{target} was a folder, no file: it is moved to {aside.name}")
    source.replace(target)


def remove_leftover(path: Path, after: float = _LEFT_OVER) -> None:
    """Remove a file that nobody has written for so many seconds, if it can be removed."""
    with suppress(OSError):
        if time.time() - path.lstat().st_mtime > after:
            path.unlink()


def private_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, and put its mode right where it is there.

    Raises:
        Unfit: it is another user's, or a link.
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.is_symlink():  # what it leads to may be anybody's
        raise Unfit(f"{folder} is a link: delete it, or set KIS_DATA_DIR to where it leads")
    if HAS_OWNERS:
        _take(folder, folder.lstat(), 0o700)


def private_file(path: Path) -> None:
    """Put the mode of a file right that nobody else may read; it need not be there.

    Raises:
        Unfit: it is another user's, or no plain file.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise Unfit(f"{path} is {_kind(path)}, no file: move it away")
    if HAS_OWNERS:
        _take(path, found, 0o600)


def _take(path: Path, found: os.stat_result, mode: int) -> None:
    if found.st_uid != os.geteuid():
        raise Unfit(whose(path, path))
    if stat.S_IMODE(found.st_mode) & ~mode:
        # Some file systems have no modes: what is secret is sealed besides.
        with suppress(OSError):
            path.chmod(mode)


def is_own(path: Path) -> bool:
    """Whether a file or folder is this user's, and nobody else may write to it."""
    found = path.stat()
    if not HAS_OWNERS:
        return True
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_IWOTH:
        return False
    return not found.st_mode & stat.S_IWGRP or _is_private(found.st_gid)


def _is_private(gid: int) -> bool:
    """Whether a group is the one that many systems give each user, and has nobody else in it.

    There the umask is 002: whatever the user makes, that group may write to.
    """
    import grp
    import pwd

    try:
        me, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    is_named_so = gid == me.pw_gid and group.gr_name == me.pw_name
    return is_named_so and set(group.gr_mem) <= {me.pw_name}


def is_refused(error: BaseException) -> bool:
    """True when it is about whose a file is, whatever library says so."""
    return isinstance(error, PermissionError | Unfit) or bool(_REFUSED.search(str(error)))


def explained(error: BaseException, within: Path | None = None) -> str:
    """What the system said, in one line; where a file is in the way, whose or what it is.

    Args:
        error: an OSError, or what another library made of one.
        within: the folder that the file lies in, which is to be had whole.
    """
    if isinstance(error, Unfit):
        return str(error)
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    # Of a file that is put in its place, that is the one that may be somebody else's.
    told = str(getattr(error, "filename2", None) or getattr(error, "filename", None) or "")
    if not told and (found := _QUOTED.search(str(error))):
        told = found[1]
    path = Path(told).absolute() if told else _not_ours(within)
    if path is None:
        return text
    if getattr(error, "errno", 0) in _OF_THE_DISK and (trouble := disk_trouble(path)):
        return trouble
    if is_refused(error):
        return whose(path, within)
    if isinstance(error, FileExistsError | NotADirectoryError):
        there = _nearest(path)
        return text if there.is_dir() else f"{there} is {_kind(there)}, no folder: move it away"
    if isinstance(error, IsADirectoryError) or getattr(error, "errno", 0) == errno.ELOOP:
        return f"{path} is {_kind(path)}, no file: move it away"
    return f"{told}: {text}" if getattr(error, "filename", None) else text


def disk_trouble(path: Path) -> str:
    """Why nobody can write at a path, and what to do; empty where that is no matter of the disk."""
    there = _nearest(path.absolute())
    there = there if there.is_dir() else there.parent
    if _is_read_only(there):
        return f"{there} is on a disk that can only be read: mount it for writing"
    if shutil.disk_usage(there).free < _LEAST:
        return f"no space is left on the disk of {there}: free some"
    return ""


def _is_read_only(path: Path) -> bool:
    return HAS_OWNERS and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def whose(path: Path, within: Path | None = None) -> str:
    """To whom a path belongs that cannot be used, or the nearest one above it, and what to do."""
    there = _nearest(path.absolute())
    if not HAS_OWNERS:
        return f"{there} cannot be used by this user"
    if _is_read_only(there):
        return disk_trouble(there)
    me = os.geteuid()
    if _uid(there) == me and _uid(there.parent) != me and not os.access(there.parent, os.W_OK):
        there = there.parent
    uid = _uid(there)
    if uid == me:
        mode = stat.S_IMODE(there.stat().st_mode)
        return f"{there} is yours, and its mode {mode:04o} forbids it: chmod -R u+rwX {there}"
    owner = _name(uid)
    return (
        f"{there} belongs to {owner}: run as {owner}, or chown -R {_name(me)} {_top(there, within)}"
    )


def _top(there: Path, within: Path | None) -> Path:
    """What to take over: all that one user has below a folder of ours, else no more than needed."""
    uid, top = _uid(there), there
    while _uid(top.parent) == uid and top != top.parent:
        top = top.parent
    if _uid(top.parent) == os.geteuid():
        return top
    return within if within is not None and there.is_relative_to(within) else there


def _nearest(path: Path) -> Path:
    """The path, or what is nearest above it where it is not there."""
    return next(it for it in (path, *path.parents) if os.path.lexists(it))


def _kind(path: Path) -> str:
    return "a link" if path.is_symlink() else "a folder" if path.is_dir() else "a file"


def _not_ours(folder: Path | None) -> Path | None:
    """What in a folder another user has, else the folder."""
    if folder is None or not HAS_OWNERS:
        return folder
    everything = (path for path in (folder, *folder.rglob("*")) if os.path.lexists(path))
    return next((path for path in everything if _uid(path) != os.geteuid()), folder)


def _uid(path: Path) -> int:
    return path.lstat().st_uid


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

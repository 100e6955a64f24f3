"""Damaged and foreign files of a lake: messages that name the file and the remedy.

Causes are a failed disk, an incomplete copy, or another program. A damaged file only stops
operations that need it.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kis_assets.security.ownership import Unfit, explained, is_refused

if TYPE_CHECKING:
    from kis_assets.lake.versions import Versions

_PARQUET = re.compile(r"""["'](/[^"'\n]+\.parquet)["']""")
LIVE = "live"
"""The folder of days in recording; see `live_parts`."""
COPIES = "compacted"
"""The folder of larger files; see `compaction`."""
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)


def rows_in(error: BaseException, folder: Path | None = None) -> Path | None:
    """The file of rows in this folder that a library could not read."""
    for found in _PARQUET.finditer(str(error)):
        if folder is None or Path(found[1]).is_relative_to(folder):
            return Path(found[1])
    return None


def is_copy(path: Path, folder: Path) -> bool:
    """True for a file whose rows are stored elsewhere too; see `compaction` and `live_parts`."""
    return any(path.is_relative_to(folder / place) for place in (COPIES, LIVE))


def damaged(path: Path) -> str:
    """The message for a file of rows that cannot be read."""
    if not os.path.lexists(path):
        return f"{path} is gone"
    if COPIES in path.parts:
        return f"{path} is damaged: delete it, and a run creates it again"
    return (
        f"{path} is damaged or holds no rows: move it away, and the version of before counts again"
    )


def error_message(error: BaseException, folder: Path) -> str:
    """The message for an error with files in a folder, with the remedy."""
    if is_refused(error) or getattr(error, "errno", None) in _IN_THE_WAY:
        return explained(error, folder)
    if (path := rows_in(error, folder)) is not None:
        return damaged(path)
    reason = " ".join(str(error).split())
    return (
        f"the disk that holds {folder} failed ({reason}): check free space and permissions, then "
        "run again"
    )


def is_whole(path: Path | str) -> bool:
    """Whether a file can be a complete Parquet file, which ends with four fixed bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    try:
        os.lseek(descriptor, -4, os.SEEK_END)
        return os.read(descriptor, 4) == b"PAR1"
    except OSError:
        return False
    finally:
        os.close(descriptor)


def odd(versions: Versions) -> list[str]:
    """A sentence for each foreign or damaged file among the files of rows.

    This program reads only versions, but other programs may read the whole folder.
    """
    found: list[str] = []
    for table in sorted((versions.folder / "parquet").glob("*")):
        known = {f"{unit}.parquet" for unit in versions.units(table.name)}
        found += [
            f"{path} was not put there by this program: move it away"
            for path in sorted(table.glob("*.parquet"))
            if path.name not in known
        ]
    for table in versions.tables():
        newest = versions.every_newest(table)
        found += [damaged(Path(path)) for path in newest if not is_whole(path)]
    copies = sorted((versions.folder / COPIES).glob("*/*/*.parquet"))
    return found + [damaged(path) for path in copies if not is_whole(path)]


def is_database(path: Path) -> bool:
    """Whether a file can be a DuckDB database."""
    try:
        with path.open("rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except OSError:
        return False


def of_database(path: Path, error: Exception) -> Unfit:
    """The error for a `market.duckdb` that cannot be read."""
    if isinstance(error, OSError):
        return Unfit(explained(error, path.parent))
    return Unfit(
        f"{path} is damaged or no database of DuckDB: delete it, and a run creates it again"
    )

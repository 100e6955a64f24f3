"""The name of a data folder, by which hosts know that they share one."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from kis_assets.security.ownership import put

_NAME = re.compile(rb"[0-9a-f]{32}")


def identity(folder: Path, *, make: bool = False) -> str:
    """What names the folder, whatever its path is on a host; empty where it has no name.

    Args:
        folder: `KIS_DATA_DIR`.
        make: give it a name if it has none, and make it if it is not there.

    Raises:
        OSError: it cannot be read or written.
    """
    note = folder / ".identity"
    if make and not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".identity.lock"):
            if not note.exists():
                put(note, uuid4().hex.encode())
    try:
        found = _NAME.fullmatch(note.read_bytes())
    except FileNotFoundError:
        return ""
    return found[0].decode() if found else ""

"""Notes of a lake about its derived files, to rebuild only what changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from kis_assets.lake.versions import content


def digest(found: object) -> str:
    """The digest of a JSON value, to detect changes."""
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def noted(note: Path) -> dict[str, str]:
    """The noted digest of each derived file; empty if the note is lost."""
    try:
        found = json.loads(content(note))
    except (ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}

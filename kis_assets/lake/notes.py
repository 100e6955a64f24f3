"""What a lake notes of what it has made, to make again only what changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from kis_assets.lake.versions import content


def digest(found: object) -> str:
    """What tells one JSON value from another."""
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def noted(note: Path) -> dict[str, str]:
    """The digest of each thing as it was noted when it was made; nothing where that is lost."""
    try:
        found = json.loads(content(note))
    except (ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}

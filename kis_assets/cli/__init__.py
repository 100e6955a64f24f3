"""kis-assets: the commands people type. Each imports what it needs when it runs."""

from __future__ import annotations

from kis_assets.cli import (
    asking,
    backfilling,
    doctor,
    publishing,
    reading,
    running,
    serving,
    streaming,
    ui,
    versions,
)
from kis_assets.cli.common import app

__all__ = [
    "app",
    "asking",
    "backfilling",
    "doctor",
    "publishing",
    "reading",
    "running",
    "serving",
    "streaming",
    "ui",
    "versions",
]

"""All commands, in the order in which the help names them. Each imports what it needs when run."""

from __future__ import annotations

from kis_assets.cli import (
    backfill,
    delta,
    diff,
    doctor,
    mcp,
    query,
    run,
    serve,
    sql,
    stream,
    ui,
    ui_server,
)
from kis_assets.cli.common import app

__all__ = [
    "app",
    "backfill",
    "delta",
    "diff",
    "doctor",
    "mcp",
    "query",
    "run",
    "serve",
    "sql",
    "stream",
    "ui",
    "ui_server",
]

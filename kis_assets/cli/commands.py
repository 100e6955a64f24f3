"""All commands, in the order of the help. Each imports what it needs when it runs."""

from __future__ import annotations

from kis_assets.cli import (
    backfill,
    delta,
    diff,
    doctor,
    mcp,
    overview,
    query,
    run,
    serve,
    site,
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
    "overview",
    "query",
    "run",
    "serve",
    "site",
    "sql",
    "stream",
    "ui",
    "ui_server",
]

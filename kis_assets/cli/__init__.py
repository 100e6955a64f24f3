"""kis-assets: the commands people type. Each imports what it needs when it runs."""

from __future__ import annotations

from kis_assets.cli import backfill, delta, diff, doctor, query, run, serve, sql, stream, ui
from kis_assets.cli.common import app

__all__ = [
    "app",
    "backfill",
    "delta",
    "diff",
    "doctor",
    "query",
    "run",
    "serve",
    "sql",
    "stream",
    "ui",
]

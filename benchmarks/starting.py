"""How long commands take from the shell, and what the definitions take to load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Line, median

COMMANDS = {
    ("--help",): 400.0,
    ("status",): 400.0,
    ("sql", "SELECT 1"): 400.0,
    ("info", "005930"): 500.0,
    ("quote", "005930"): 1_000.0,
}


def start(folder: Path, times: int) -> list[Line]:
    """The commands, and the definitions beyond the import of Dagster; the median of `times`."""
    given = {**os.environ, "KIS_DATA_DIR": str(folder.parent), "DATA_SOURCE_TYPE": "mock"}

    def run(*words: str) -> None:
        subprocess.run(
            [sys.executable, *words], env=given, check=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    lines = [
        Line("starting", f"kis-assets {' '.join(words)}",
             median(lambda words=words: run("-m", "kis_assets.cli", *words), times), aim=aim)
        for words, aim in COMMANDS.items()
    ]  # fmt: skip
    bare = median(lambda: run("-c", "import dagster"), times)
    whole = median(
        lambda: run("-c", "from kis_assets import definitions; definitions.load()"), times
    )
    lines.append(
        Line("starting", "definitions beyond importing Dagster", whole - bare, aim=1_000.0,
             beside=f"importing Dagster {bare:,.0f}")
    )  # fmt: skip
    return lines

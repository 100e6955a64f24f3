"""A process that stores a month anew as often as it can, each time with other rows.

Readers in another process can tell by what they got whether it was the whole of one version.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES
from kis_assets_tests.support.small_rows import based, frame

DAY = date(2026, 3, 17)
STOCKS = 200


def store(lake: Lake, price: int) -> None:
    """Store the month: every row has this price, and their number follows from it."""
    rows = [based(DAY, price, price, stock_code=f"{code:06d}") for code in range(many(price))]
    lake.replace(DAILY_CANDLES, Scope.month(DAY), frame(DAILY_CANDLES, *rows), publish=False)


def many(price: int) -> int:
    """How many rows the version with this price has."""
    return STOCKS + price % 50


def is_one_version(closes: list[int]) -> bool:
    """Whether these are all rows of one version, each once."""
    return len(set(closes)) == 1 and len(closes) == many(closes[0])


@contextmanager
def writing(folder: Path) -> Generator[subprocess.Popen[str]]:
    """Write to the lake in a process of its own meanwhile; it says when it has begun."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    lake, price = Lake(Path(sys.argv[1]), source="mock"), 1
    while True:
        price += 1
        store(lake, price)
        if price == 2:
            sys.stdout.write("writing\n")
            sys.stdout.flush()

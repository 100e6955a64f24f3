"""The pictures of docs/gallery.md, made by the Python on that page, of the invented market.

    python -m kis_assets_tests.gallery

The market is held at moments of one day, so that the same pictures come of it every time.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile

from PIL import Image

from kis_assets_tests.page_pictures import DAY, DOCS

PAGE = DOCS / "gallery.md"
FOLDER = DOCS / "gallery"
COLOURS = 48
STORED = (
    ("14:10", "run --table market_days --table stock_master --table order_books"),
    ("20:50", "run --table price_snapshots --table daily_candles --table minute_candles"),
    ("20:50", "backfill daily_candles 2025-12 2026-02 --yes"),
    ("20:50", "backfill index_candles 2025-12 2026-03 --yes"),
)
"""What is stored for them, and when: nobody quotes in the evening."""


def pieces() -> list[str]:
    """The Python of the page, a piece for each picture."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        stands = {"DATA_SOURCE_TYPE": "mock", "KIS_UNIVERSE": "top200", "KIS_DATA_DIR": name}
        os.environ |= stands | {"DAGSTER_HOME": name}
        for clock, words in STORED:
            os.environ["KIS_REPLAY_AT"] = f"{DAY}T{clock}+09:00"
            subprocess.run([sys.executable, "-m", "kis_assets.cli", *words.split()], check=True)
        FOLDER.mkdir(exist_ok=True)
        with contextlib.chdir(FOLDER):
            for code in pieces():
                exec(compile(code, str(PAGE), "exec"), {})
    for path in FOLDER.glob("*.png"):
        drawn = Image.open(path)
        if drawn.mode != "P":  # ours have few colours already, and no paper
            few = drawn.convert("RGB").quantize(COLOURS, Image.Quantize.MEDIANCUT)
            few.save(path, optimize=True)


if __name__ == "__main__":
    main()

"""The picture of the README, light and dark: the evening report of the invented market.

    python -m kis_assets_tests.evening_picture

Needs Chromium. The market is that of `make run`, held at one evening, so that the same page comes
of it every time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from kis_assets.charts.canvas import font_file

DOCS = Path(__file__).parents[1] / "docs"
DAY = "2026-03-17"
TABLES = (
    *("market_days", "stock_master", "price_snapshots", "daily_candles", "index_candles"),
    *("market_flows", "market_report"),
)
WIDTH, HEIGHT, SCALE = 1080, 1232, 1.25
"""As far down as the first picture of the page."""
COLOURS = 64
SCHEMES = {"evening.png": 1, "evening-dark.png": 0}
"""By file, what Chromium calls a scheme of colours."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Chromium writes Hangul with the font of the pictures, wherever it runs.
        (folder / "fonts").mkdir()
        shutil.copy(font_file(), folder / "fonts")
        shutil.copy(font_file().with_name("NanumGothicBold.ttf"), folder / "fonts")
        subprocess.run(
            [sys.executable, "-m", "kis_assets.cli", "run", *(f"--table={it}" for it in TABLES)],
            env=os.environ
            | {
                "DATA_SOURCE_TYPE": "mock",
                "KIS_DATA_DIR": str(folder),
                "KIS_REPLAY_AT": f"{DAY}T20:50+09:00",
                "DAGSTER_HOME": str(folder),
            },
            check=True,
        )
        for file, scheme in SCHEMES.items():
            target = folder / file
            subprocess.run(
                [
                    *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
                    *("--hide-scrollbars", f"--force-device-scale-factor={SCALE}"),
                    f"--window-size={WIDTH},{HEIGHT}",
                    f"--blink-settings=preferredColorScheme={scheme}",
                    f"--screenshot={target}",
                    (folder / "mock" / "reports" / f"{DAY}.html").as_uri(),
                ],
                env=os.environ | {"XDG_DATA_HOME": str(folder)},
                check=True,
                capture_output=True,
            )
            picture = Image.open(target).convert("RGB")
            few = picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            few.save(DOCS / file, optimize=True)


if __name__ == "__main__":
    main()

"""The pictures of pages in README and docs, light and dark: a stock's page, the evening report.

    python -m kis_assets_tests.page_pictures

Needs Chromium. The market is the invented one, held at given moments, so that the same pages come
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
NOON, EVENING, MORNING = f"{DAY}T13:00", f"{DAY}T20:50", "2026-03-18T08:50"
KNOWN = "005930,000660,373220,207940,005380,000270,068270,035420,035720,051910,006400,105560"
"""Stocks that people know; the page of the first is the picture."""


def run(*tables: str) -> list[str]:
    return ["run", *(f"--table={table}" for table in tables)]


WHOLE_MARKET = (
    (EVENING, run("market_days", "stock_master", "price_snapshots", "daily_candles")),
    (EVENING, run("index_candles", "market_flows", "market_report")),
)
KNOWN_STOCKS = (
    (NOON, run("market_days", "stock_master", "order_books")),
    (MORNING, ["backfill", "daily_candles", "2025-02", "2026-03", "--yes"]),
    (MORNING, ["backfill", "investor_flows", "2026-02", "2026-03", "--yes"]),
    (MORNING, ["backfill", "short_sales", "2026-03", "2026-03", "--yes"]),
    (MORNING, ["backfill", "minute_candles", DAY, DAY, "--yes"]),
    (EVENING, run("stock_info", "price_snapshots", "valuations")),
    (EVENING, ["site"]),
)
"""When what is stored, by command."""
WIDTH, SCALE = 1080, 1.25
COLOURS = 64
SCHEMES = {"": 1, "-dark": 0}
"""By the end of a file's name, what Chromium calls a scheme of colours."""
PICTURES = [f"{name}{end}.png" for name in ("evening", "stock") for end in SCHEMES]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Chromium writes Hangul with the font of the pictures, wherever it runs.
        (folder / "fonts").mkdir()
        shutil.copy(font_file(), folder / "fonts")
        shutil.copy(font_file().with_name("NanumGothicBold.ttf"), folder / "fonts")
        _store(folder / "all", "", WHOLE_MARKET)
        _store(folder / "known", KNOWN, KNOWN_STOCKS)
        # As far down as the first picture of the page, or the candles.
        report = (folder / "all" / "mock" / "reports" / f"{DAY}.html").as_uri()
        stock = (folder / "known" / "mock" / "site" / "stock.html").as_uri()
        for end, scheme in SCHEMES.items():
            _shoot(report, 1232, scheme, folder, DOCS / f"evening{end}.png")
            _shoot(f"{stock}?005930", 808, scheme, folder, DOCS / f"stock{end}.png")


def _store(folder: Path, codes: str, commands: tuple[tuple[str, list[str]], ...]) -> None:
    settings = {"DATA_SOURCE_TYPE": "mock", "KIS_DATA_DIR": str(folder), "KIS_STOCK_CODES": codes}
    for at, words in commands:
        subprocess.run(
            [sys.executable, "-m", "kis_assets.cli", *words],
            env=os.environ
            | settings
            | {"KIS_REPLAY_AT": f"{at}+09:00", "DAGSTER_HOME": str(folder / "dagster")},
            check=True,
        )


def _shoot(address: str, height: int, scheme: int, folder: Path, file: Path) -> None:
    target = folder / file.name
    subprocess.run(
        [
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--hide-scrollbars", f"--force-device-scale-factor={SCALE}"),
            *(f"--window-size={WIDTH},{height}", "--virtual-time-budget=3000"),
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--screenshot={target}",
            address,
        ],
        env=os.environ | {"XDG_DATA_HOME": str(folder)},
        check=True,
        capture_output=True,
    )
    picture = Image.open(target).convert("RGB")
    few = picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


if __name__ == "__main__":
    main()

"""Recording a feed of 5,000 trades a second: how late each is, what it takes, what it leaves."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.fetching import served
from benchmarks.measure import Line
from benchmarks.setting import RATE, SECRET, new_key
from kis_assets.exchange import calendar
from kis_assets.kis.stream_records import RealTime, Trade
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.tables import TRADES
from kis_assets.ticks import compaction
from kis_assets.ticks.following import Following

START = datetime(2026, 3, 17, 10, 0, tzinfo=calendar.SEOUL)
CODES = [f"{number:06d}" for number in range(10, 210, 10)]


def stream(folder: Path, rate: float = 5_000, seconds: float = 60) -> list[Line]:
    """Follow twenty stocks while another process sends their trades."""
    command = [sys.executable, "-m", "benchmarks.feed_server", str(rate), str(seconds)]
    with served(None, RATE) as url, subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True
    ) as server:  # fmt: skip
        assert server.stdout is not None
        try:
            return _followed(folder, url, int(server.stdout.readline()), rate, seconds)
        finally:
            server.kill()


def _followed(folder: Path, url: str, port: int, rate: float, seconds: float) -> list[Line]:
    settings = Settings.load(
        data_source_type="kis",
        kis_app_key=new_key(),
        kis_app_secret=SECRET,
        kis_use_virtual_server=False,
        kis_api_base_url_real=url,
        kis_ws_url_real=f"ws://127.0.0.1:{port}",
        kis_data_dir=folder,
    )
    began, late, lake = time.monotonic(), list[float](), Lake(folder / "kis", source="kis")

    def clock() -> datetime:
        return START + timedelta(seconds=time.monotonic() - began)

    def took(record: RealTime) -> None:
        if isinstance(record, Trade):
            late.append((time.monotonic_ns() // 1_000 - record.trading_value) / 1_000)

    memory: list[float] = []
    with Following(
        settings, lake, CODES, with_books=False, clock=clock, listener=took
    ) as following:
        while not late and not following.wait(0.1):
            pass
        used, first = time.process_time(), time.monotonic()
        while time.monotonic() - first < seconds and not following.wait(1.0):
            memory.append(_memory())
        used = (time.process_time() - used) / (time.monotonic() - first)
        wanted = int(rate * seconds * 0.99)
        while following.stored["trades"] < wanted and time.monotonic() - first < 2 * seconds:
            following.wait(0.1)
    rows = following.stored["trades"]
    journal = sum(path.stat().st_size for path in (folder / "kis" / "live").glob("*.sqlite*"))
    change = compaction.store(lake, TRADES, START.date(), compaction.trades)
    stored = change.path.stat().st_size if change.path else 0
    cut = statistics.quantiles(late, n=100)
    said = f"{rows:,} trades in {seconds:.0f} s, one a frame, of 20 stocks"
    quarter = max(1, len(memory) // 4)
    return [
        Line("streaming", "frame sent to callback, median", cut[49], beside=said),
        Line("streaming", "frame sent to callback, 99 of 100 within", cut[98], aim=5.0),
        Line("streaming", f"CPU at {rate:,.0f} a second", 100 * used, "% of a core", aim=100.0),
        Line("streaming", "memory after a quarter of the time", memory[quarter - 1], "MB"),
        Line("streaming", "memory at the end", memory[-1], "MB"),
        Line("streaming", "trades missing or twice", abs(change.rows - rows), "rows", aim=0.0),
        Line("streaming", "journal", journal / rows, "bytes/row"),
        Line("streaming", "stored as Parquet", stored / rows, "bytes/row"),
    ]


def _memory() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

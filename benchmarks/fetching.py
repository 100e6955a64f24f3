"""Fetching from a KIS-shaped server: how much of the allowed rate is used, and what it costs here.

The server is the simulator in a process of its own, or any other one by its address.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Line
from kis_assets import create_data_source
from kis_assets.exchange import calendar
from kis_assets.settings import Settings
from kis_assets.sources.kis import KISDataSource

AT = datetime(2026, 3, 17, 20, 50, tzinfo=calendar.SEOUL)
RATE = 18.0


@contextmanager
def served(url: str | None, rate: float) -> Iterator[str]:
    """The address of a server: the one that is given, else a simulator that is ended after it."""
    if url:
        yield url
        return
    command = [sys.executable, "-m", "kis_assets.cli", "simulate", "--port", "0"]
    command += ["--at", AT.isoformat(), "--rate-limit", str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for said in process.stdout:
                if said.startswith("export KIS_API_BASE_URL_REAL="):
                    yield said.partition("=")[2].strip()
                    break
        finally:
            process.terminate()


def fetch(folder: Path, stocks: int, url: str | None) -> list[Line]:
    """Prices, books, days and minutes of the market at the allowed rate, and without any limit."""
    lines: list[Line] = []
    with served(url, RATE) as address:
        lines += _quotes(folder / "limited", address)
        lines += _measured(folder / "limited", address, stocks, RATE, "fetching at 18 a second")
    if url is None:
        with served(None, 0) as address:
            lines += _measured(folder / "free", address, stocks, 1_000.0, "fetching without limit")
    return lines


def _settings(folder: Path, url: str, rate: float) -> Settings:
    return Settings.load(
        data_source_type="kis",
        kis_app_key="P" * 36,
        kis_app_secret="s" * 180,
        kis_use_virtual_server=False,
        kis_api_base_url_real=url,
        kis_master_base_url=url,
        kis_data_dir=folder,
        kis_api_rate_limit=rate,
        kis_replay_at=AT,
    )


def _quotes(folder: Path, url: str, times: int = 2_000) -> list[Line]:
    """A quote that is in the cache, which the processes of a machine share."""
    taken: list[float] = []
    with create_data_source(settings=_settings(folder, url, RATE)) as source:
        source.get_current_price("005930")
        for _ in range(times):
            started = time.perf_counter()
            source.get_current_price("005930")
            taken.append((time.perf_counter() - started) * 1000)
    cut = statistics.quantiles(taken, n=100)
    return [
        Line("quotes", "cached in SQLite, median", cut[49]),
        Line("quotes", "cached in SQLite, 99 of 100 within", cut[98]),
    ]


def _measured(folder: Path, url: str, stocks: int, rate: float, group: str) -> list[Line]:
    lines, before = list[Line](), _peak()
    with KISDataSource(_settings(folder, url, rate)) as source:
        day = AT.date()
        master = source.tables.stock_master(day)
        listed = master.filter(security_type="common").head(stocks)
        codes = listed["stock_code"].to_list()
        few = listed.head(max(20, stocks // 10))
        works: dict[str, Callable[[], Any]] = {
            f"prices of {stocks:,} stocks": lambda: source.tables.price_snapshots(listed, day, AT),
            f"order books of {few.height} stocks": lambda: source.tables.order_books(few, day, AT),
            f"a month of days of {few.height} stocks": lambda: source.tables.daily_candles(
                codes[: few.height], day.replace(day=1), day
            ),
            f"a day of minutes of {few.height // 4} stocks": lambda: source.tables.minute_candles(
                codes[: few.height // 4], day
            ),
        }
        for name, work in works.items():
            tally = source.tally.part()
            began, used = time.perf_counter(), time.process_time()
            fetched = work()
            seconds, used = time.perf_counter() - began, time.process_time() - used
            told = tally.summary()
            requests = max(1, told["requests"])
            rows = f"{fetched.rows.height:,} rows"
            said = f"{requests} requests, {told.get('refused', 0)} refused, {rows}"
            if rate <= RATE:
                # The first second of a window may hold a second's requests at once.
                share = 100 * requests / ((seconds + 1) * rate)
                lines.append(
                    Line(group, name, share, "% of the rate", beside=f"{said}, {seconds:.1f} s")
                )
            else:
                speed = f"{requests / seconds:,.0f} a second"
                cost = used * 1000 / requests
                lines.append(
                    Line(group, name, cost, "ms of CPU a request", beside=f"{said}, {speed}")
                )
    peak = _peak()
    if peak > before:  # else another part of this process had more
        lines.append(Line(group, "peak memory of the client", peak, "MB"))
    return lines


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

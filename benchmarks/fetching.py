"""Fetching from a KIS-shaped server: how much of the allowed rate is used, and what it costs here.

Each run is in a process of its own, so that its memory is that of the client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.cached_quotes import quotes
from benchmarks.measure import Line, alone, peak, share
from benchmarks.server import served, settings
from benchmarks.setting import AT, RATE
from kis_assets.sources.kis import KISDataSource

UNLIMITED = 1_000.0
"""Requests a second that the client keeps to where the server sets no limit."""
TEN_YEARS = (date(AT.year - 10, AT.month, AT.day), AT.date())


def fetch(folder: Path, stocks: int, url: str | None) -> list[Line]:
    """Prices, books, days and minutes of the market at the allowed rate, and without any limit."""
    lines: list[Line] = []
    with served(url, RATE) as address:
        lines += alone(quotes, folder / "quotes", address)
        lines += alone(
            _measured, folder / "limited", address, stocks, RATE, "fetching at 18 a second"
        )
    if url is None:
        with served(None, 0) as address:
            lines += alone(
                _measured, folder / "free", address, stocks, UNLIMITED, "fetching without limit"
            )
    return lines


def _measured(folder: Path, url: str, stocks: int, rate: float, group: str) -> list[Line]:
    lines, before = list[Line](), peak()
    with KISDataSource(settings(folder, url, rate)) as source:
        day = AT.date()
        master = source.tables.stock_master(day)
        listed = master.filter(security_type="common").head(stocks)
        codes = listed["stock_code"].to_list()
        few = listed.head(max(20, stocks // 10))
        some = codes[: max(5, few.height // 10)]
        works: dict[str, Callable[[], Any]] = {
            f"prices of {listed.height:,} stocks": lambda: source.tables.price_snapshots(
                listed, day, AT
            ),
            f"order books of {few.height} stocks": lambda: source.tables.order_books(few, day, AT),
            f"a month of days of {few.height} stocks": lambda: source.tables.daily_candles(
                codes[: few.height], day.replace(day=1), day
            ),
            f"ten years of days of {len(some)} stocks": lambda: source.tables.daily_candles(
                some, *TEN_YEARS
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
                used_share = share(requests, seconds, rate)
                told_all = f"{said}, {seconds:.1f} s"
                lines.append(Line(group, name, used_share, "% of the rate", beside=told_all))
            else:
                speed = f"{requests / seconds:,.0f} a second"
                cost = used * 1000 / requests
                lines.append(
                    Line(group, name, cost, "ms of CPU a request", beside=f"{said}, {speed}")
                )
    said = f"{before:.0f} with all imported"
    return [*lines, Line(group, "peak memory of the client", peak(), "MB", beside=said)]

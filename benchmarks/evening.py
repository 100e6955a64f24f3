"""What an evening costs this machine where the server sets no limit: CPU by part, and memory.

It is `kis-assets run` of the four tables that ask for every stock, in one process.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import Line, alone, peak
from benchmarks.server import listed, served, settings
from benchmarks.setting import AT, RATE
from benchmarks.watch import Watch, set_up

TABLES = ("price_snapshots", "order_books", "daily_candles", "minute_candles")
GROUP = "an evening without limit"


def evening(folder: Path, stocks: int) -> list[Line]:
    """The four tables of so many stocks, in a process of its own."""
    with served(None, 0) as url:
        return alone(_run, folder, url, listed(folder, url, stocks))


def _line(name: str, parts: Mapping[str, float], said: str) -> Line:
    of = ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items())
    return Line(GROUP, name, sum(parts.values()), "s of CPU", beside=f"{of}; {said}")


def _run(folder: Path, url: str, codes: list[str]) -> list[Line]:
    os.environ.pop("DAGSTER_HOME", None)
    warnings.simplefilter("ignore")
    from kis_assets import definitions

    definitions.load()
    from kis_assets.cli.common import quieten
    from kis_assets.execution import runner
    from kis_assets.execution.dagster_home import in_process

    quieten()
    given = settings(folder, url, 1_000.0, kis_stock_codes=codes)
    watch, lines, whole = Watch(), list[Line](), Counter[str]()
    set_up(watch)
    before, asked = peak(), 0
    with in_process(runner.home(given)) as instance:
        runner.run_day(AT.date(), instance, given, ["stock_master"])
        watch.take()
        for table in TABLES:
            (found,) = runner.run_day(AT.date(), instance, given, [table])
            spent, told = watch.take(), found.metadata
            if found.error:
                lines.append(Line(GROUP, table, None, beside=f"cannot: {found.error}"))
                continue
            requests, rows = told["requests"], told["dagster/row_count"]
            said = f"{requests:,} requests, {rows:,} rows, {told['seconds']} s"
            lines.append(_line(f"{table} of {len(codes)} stocks", spent, said))
            whole.update(spent)
            asked += requests
    quota = f"at {RATE:g} a second its {asked:,} requests take {asked / RATE:.0f} s"
    return [
        *lines,
        _line("all four", whole, quota),
        Line(
            GROUP,
            "peak memory of its process",
            peak(),
            "MB",
            aim=400.0,
            beside=f"{before:.0f} with all imported",
        ),
    ]

"""What a day of the whole market takes: memory at its peak, and the time of all its checks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date

import pytest

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.defs.checks.registry import LISTED
from kis_assets.defs.resources import open_lake
from kis_assets.lake.lake import Scope
from kis_assets.lake.quality import rows_by_day
from kis_assets.settings import Settings
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.factory import create_data_source
from kis_assets_tests.conftest import EVENING, REAL_DATA
from kis_assets_tests.system.test_market_days import point_at

log = logging.getLogger(__name__)

DAY = date(2026, 3, 17)
TABLES = (
    *("market_days", "stock_master", "price_snapshots", "order_books"),
    *("daily_candles", "minute_candles", "corporate_actions"),
)
MEGABYTES, SECONDS = 400, 10

# Its own peak: what the system says of a child that ended counts its parent's memory.
RUN = """
import sys
from datetime import date
import dagster as dg
from kis_assets.execution import runner
from kis_assets.settings import Settings
runner.home(Settings.load())
with dg.DagsterInstance.get() as instance:
    (done,) = runner.run_day(date(2026, 3, 17), instance, sys.argv[1:])
    assert not done.error, done.error
"""
CHECK = """
import kis_assets.definitions
from kis_assets_tests.system.test_whole_day import check

check()
"""
PEAK = """
import re
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def check() -> None:
    """Judge every check of the stored day; prints the seconds it took."""
    settings = Settings.load()
    with create_data_source(settings=settings) as source:
        # The source of a run has fetched the rows that are checked: it is open.
        source.daily_candles(["005930"], DAY, DAY)
        began = time.monotonic()
        for table, checks in LISTED.items():
            scope = {"day": Scope.day, "month": Scope.month}.get(table.partition, Scope.day)(DAY)
            span = Window(
                open_lake(settings), table, scope.first, scope.last, EVENING, lambda: source
            )
            rows = rows_by_day(table, span.rows())
            for check in checks:
                try:
                    check.find(span, rows)
                except NotComparable:
                    continue
        sys.stdout.write(f"{time.monotonic() - began:.2f}\n")


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real day behind a KIS server, and an environment that points at it."""
    simulator = Simulator(
        ReplayMarket(REAL_DATA, clock=lambda: EVENING), rate_limit=0, clock=lambda: EVENING
    )
    with serve(simulator) as url:
        point_at(url, monkeypatch, KIS_REPLAY_AT=EVENING.isoformat())
        yield


def peak(code: str, *words: str, rate: int) -> tuple[list[str], int]:
    """What a process that runs this code prints, and its memory at its peak, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, *words],
        env=os.environ | {"KIS_API_RATE_LIMIT": str(rate)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *told, megabytes = done.stdout.split()
    return told, int(megabytes)


@pytest.mark.parametrize("module", ["definitions", "execution.runner"])
def test_what_runs_assets_sets_up_the_allocator_before_polars_is_loaded(module: str) -> None:
    code = f"import sys, kis_assets.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert loaded.index("kis_assets.allocator") < loaded.index("polars")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real data is not here")
@pytest.mark.usefixtures("market")
def test_a_day_of_the_whole_market_and_its_checks_take_less_than_400_mb() -> None:
    for table in TABLES:
        _, megabytes = peak(RUN, table, rate=1000)
        log.info(f"{table}: {megabytes} MB")
        assert megabytes < MEGABYTES, table
    # Other tests take turns with it: the better of two.
    told = [peak(CHECK, rate=18) for _ in range(2)]
    log.info(f"checks: {told}, seconds and MB")
    assert min(float(seconds) for (*_, seconds), _ in told) < SECONDS
    assert max(megabytes for _, megabytes in told) < MEGABYTES

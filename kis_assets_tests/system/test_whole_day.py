"""What a day of the whole market takes: memory at its peak, and the time of all its checks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime

import pytest

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.defs.checks.registry import LISTED
from kis_assets.defs.resources import open_lake
from kis_assets.lake.lake import Scope
from kis_assets.lake.scope import rows_by_day
from kis_assets.settings import Settings
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.factory import create_data_source
from kis_assets_tests.conftest import EVENING, REAL_DATA
from kis_assets_tests.support.in_process import set_source

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
settings = Settings.load()
home = runner.home(settings)
with dg.DagsterInstance.from_config(str(home)) as instance:
    (done,) = runner.run_day(date(2026, 3, 17), instance, settings, sys.argv[1:])
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
        source.tables.daily_candles(["005930"], DAY, DAY)
        began = time.monotonic()
        for table, checks in LISTED.items():
            scope = {"day": Scope.day, "month": Scope.month}.get(table.partition, Scope.day)(DAY)
            span = Window(
                open_lake(settings), table, scope.first, scope.last, EVENING, lambda: source.tables
            )
            rows = rows_by_day(table, span.rows())
            for check in checks:
                try:
                    check.find(span, rows)
                except NotComparable:
                    continue
        sys.stdout.write(f"{time.monotonic() - began:.2f}\n")


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[datetime], None]]:
    """A real day behind a KIS server, an environment that points at it, and what sets the hour."""
    now = [EVENING]

    def put(moment: datetime) -> None:
        now[0] = moment
        monkeypatch.setenv("KIS_REPLAY_AT", moment.isoformat())

    simulator = Simulator(
        ReplayMarket(REAL_DATA, clock=lambda: now[0]), rate_limit=0, clock=lambda: now[0]
    )
    with serve(simulator) as url:
        set_source(url, monkeypatch, KIS_STOCK_CODES="")
        yield put


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


# Says what the allocator was told by the time Polars is loaded, which it reads then.
TOLD = """
import os, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "polars":
            sys.stderr.write(f"told: {os.environ.get('_RJEM_MALLOC_CONF')}\\n")

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "code",
    [
        "from kis_assets.definitions import defs",
        pytest.param(
            "from kis_assets.cli import app; app(['run', '--table', 'nothing'])",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "from kis_assets.cli import app; app(['backfill', 'nothing', '2026-02', '2026-03'])",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "from kis_assets.cli import app; app(['repair', '--dry-run'])",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_runs_assets_has_told_the_allocator_when_polars_is_loaded(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", TOLD + code], capture_output=True, text=True)
    assert "told: dirty_decay_ms:0,muzzy_decay_ms:0\n" in done.stderr


def test_what_only_reads_leaves_the_allocator_as_it_is() -> None:
    code = "from kis_assets.cli import app; app(['condition'])"
    # A test before this one may have loaded the definitions, which tell it.
    environment = {name: it for name, it in os.environ.items() if name != "_RJEM_MALLOC_CONF"}
    done = subprocess.run(
        [sys.executable, "-c", TOLD + code], capture_output=True, text=True, env=environment
    )
    assert "dirty_decay" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real data is not here")
def test_a_day_of_the_whole_market_and_its_checks_take_less_than_400_mb(
    set_clock: Callable[[datetime], None],
) -> None:
    for table in TABLES:
        # In the evening nobody quotes.
        set_clock(EVENING.replace(hour=15, minute=10) if table == "order_books" else EVENING)
        _, megabytes = peak(RUN, table, rate=1000)
        log.info(f"{table}: {megabytes} MB")
        assert megabytes < MEGABYTES, table
    # Other tests take turns with it: the better of two.
    told = [peak(CHECK, rate=18) for _ in range(2)]
    log.info(f"checks: {told}, seconds and MB")
    assert min(float(seconds) for (*_, seconds), _ in told) < SECONDS
    assert max(megabytes for _, megabytes in told) < MEGABYTES

"""Several processes on one app key, before a server that counts: one quota, one token."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.kis.quotes import PRICE
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport, serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import DAILY_CANDLES
from kis_assets.transport.fan_out import each
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, open_source
from kis_assets_tests.support.asking import SAMSUNG

log = logging.getLogger(__name__)

RATE = 18
PROJECT = Path(__file__).parents[2]


class Asking:
    """A process of `kis_assets_tests.support.asking`, waiting for its start."""

    def __init__(
        self, environment: dict[str, str], *arguments: str, before: tuple[str, ...] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "kis_assets_tests.support.asking", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self, timeout: float = 120) -> dict[str, Any]:
        out, _ = self.process.communicate(timeout=timeout)
        return json.loads(out)


def environment_of(url: str, folder: Path) -> dict[str, str]:
    """What a process needs to ask that server and to share its state in that folder."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "DATA_SOURCE_TYPE": "kis",
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_API_BASE_URL_REAL": url,
        "KIS_MASTER_BASE_URL": url,
        "KIS_REPLAY_AT": EVENING.isoformat(),
        "KIS_DATA_DIR": str(folder),
    }


@contextmanager
def asking(
    url: str, folder: Path, processes: int, *arguments: str, **more: str
) -> Iterator[list[Asking]]:
    """So many processes, ready and not yet asking; those that still run in the end are killed."""
    environment = environment_of(url, folder) | more
    started = [Asking(environment, *arguments) for _ in range(processes)]
    try:
        for one in started:
            one.wait_until_ready()
        yield started
    finally:
        for one in started:
            if one.process.poll() is None:
                one.process.kill()
            one.process.wait()
            for pipe in (one.process.stdin, one.process.stdout):
                if pipe is not None:
                    pipe.close()


@pytest.fixture(scope="module")
def warm_market(market: ModelMarket, tmp_path_factory: pytest.TempPathFactory) -> ModelMarket:
    """The market after its first answer, which takes a server long."""
    settings = Settings.load(
        kis_app_key=APP_KEY,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_data_dir=tmp_path_factory.mktemp("warm"),
    )
    with open_source(Simulator(market), settings) as source:
        source.get_current_price("005930")
    return market


def arrivals(simulator: Simulator) -> list[float]:
    return sorted(item.at for item in simulator.log if item.path.startswith("/uapi"))


@pytest.fixture(params=["sqlite", "redis"])
def shared(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where processes share their state: both kinds."""
    if request.param == "sqlite":
        return {}
    return {"REDIS_URL": request.getfixturevalue("redis_url")}


@pytest.mark.slow
def test_four_processes_use_the_whole_quota_and_never_more(
    warm_market: ModelMarket, tmp_path: Path, shared: dict[str, str]
) -> None:
    """Five threads each for 20 seconds; one process is killed half-way."""
    simulator = Simulator(warm_market)
    with serve(simulator) as url, asking(url, tmp_path, 4, "20", "5", **shared) as processes:
        for one in processes:
            one.start()
        time.sleep(10)
        killed_at = time.monotonic()
        processes[0].process.kill()
        results = [one.result() for one in processes[1:]]
    times = arrivals(simulator)
    before = [at for at in times if times[0] + 0.5 < at < killed_at]
    used = (len(before) - 1) / (before[-1] - before[0]) / RATE
    served = [count for result in results for count in result["answers"]]
    by_process = [sum(result["answers"]) for result in results]
    log.info(
        f"max {simulator.max_in_any_second()}, used {used:.3f}, tokens {simulator.tokens_issued}, "
        f"refusals {simulator.refusals}, processes {by_process}, threads {served}"
    )
    assert all(result["failures"] == {} for result in results)
    assert simulator.max_in_any_second() <= RATE
    assert simulator.refusals == 0
    assert used >= 0.97
    assert max(by_process) <= 1.2 * min(by_process)
    assert simulator.tokens_issued == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize(("before", "after", "requests"), [(3, 3, 120), (18, 5, 320), (3, 18, 320)])
def test_what_the_server_grants_is_found_and_no_request_fails_for_it(
    warm_market: ModelMarket,
    tmp_path: Path,
    shared: dict[str, str],
    number: int,
    before: int,
    after: int,
    requests: int,
) -> None:
    """The grant changes after ten seconds; no retry is left for anything else."""
    simulator = Simulator(warm_market, rate_limit=before)
    more = {"KIS_API_MAX_RETRIES": "0", **shared}
    words = ("300", "10", "--each", str(requests // number // 10))
    with serve(simulator) as url, asking(url, tmp_path, number, *words, **more) as processes:
        started = time.monotonic()
        for one in processes:
            one.start()
        time.sleep(10)
        simulator.rate_limit = after
        results = [one.result(300) for one in processes]
        took = time.monotonic() - started
        floor = 10 + (requests - 10 * before) / after
        found = simulator.refusals
        with asking(url, tmp_path, 1, "8", "10", **more) as [another]:
            another.start()
            next_one = another.result()
    log.info(
        f"{took:.1f} s, at best {floor:.1f}; {found} refusals, "
        f"{simulator.refusals - found} of the next process"
    )
    assert all(result["failures"] == {} for result in [*results, next_one])
    assert sum(sum(result["answers"]) for result in results) == requests
    assert took <= 2 * floor
    assert found <= 25
    assert simulator.refusals - found <= 5


@pytest.mark.slow
def test_a_thousand_a_minute_for_ten_minutes(
    warm_market: ModelMarket, tmp_path: Path, shared: dict[str, str]
) -> None:
    """The client's own time is short, and its memory does not grow."""
    simulator = Simulator(warm_market)
    minutes = float(os.environ.get("SUSTAINED_MINUTES", "10"))
    more = {"KIS_API_QUEUE_TIMEOUT": "30", **shared}
    with (
        serve(simulator) as url,
        # Five threads, each with a request every 0.3 s: 1,000 a minute.
        asking(url, tmp_path, 1, str(60 * minutes), "5", "--pause", "0.3", **more) as [one],
    ):
        one.start()
        result = one.result(60 * minutes + 120)
    overheads, memory = sorted(result["overheads"]), result["memory"]
    asked = sum(result["answers"])
    log.info(
        f"{asked / minutes:.0f} a minute, overhead p50 {1000 * overheads[asked // 2]:.1f} ms, "
        f"p95 {1000 * overheads[asked * 95 // 100]:.1f} ms, memory {memory[::3]}"
    )
    assert result["failures"] == {}
    assert asked / minutes >= 950
    assert overheads[asked * 95 // 100] < 0.02
    assert memory[-1] < 1.1 * memory[len(memory) // 4]
    assert simulator.max_in_any_second() <= RATE
    assert simulator.refusals == 0


@pytest.mark.slow
def test_a_capture_goes_before_a_backfill(
    warm_market: ModelMarket, tmp_path: Path, shared: dict[str, str]
) -> None:
    """The first permit within 0.2 s, and nearly the whole quota from then on."""
    simulator = Simulator(warm_market)
    with (
        serve(simulator) as url,
        asking(url, tmp_path, 2, "16", "5", **shared) as history,
        asking(url, tmp_path, 1, "6", "5", "--live", **shared) as [capture],
    ):
        for one in history:
            one.start()
        time.sleep(5)
        started = time.monotonic()
        capture.start()
        result = capture.result()
        took = time.monotonic() - started
        for one in history:
            one.process.kill()
    alone = sum(result["answers"]) / RATE
    log.info(f"first after {result['first']:.3f} s, took {took:.2f}, alone {alone:.2f}")
    assert result["failures"] == {}
    assert simulator.max_in_any_second() <= RATE
    assert result["first"] <= 0.2
    assert took <= 1.2 * alone


LATENCY = 0.3
"""Seconds: slower than KIS's slowest answers of an ordinary day."""


@pytest.mark.slow
def test_three_keys_bring_nearly_three_times_what_one_brings(
    warm_market: ModelMarket, tmp_path: Path, shared: dict[str, str]
) -> None:
    """What a run asks, by its own number of threads, of a server that takes its time."""
    one, three = (whole_rate(warm_market, tmp_path, number, shared) for number in (1, 3))
    log.info(f"answers a second of one key {one:.2f}, of three {three:.2f}: {three / one:.3f}")
    assert one >= 0.96 * RATE
    assert three >= 2.9 * one


def whole_rate(market: ModelMarket, folder: Path, number: int, shared: dict[str, str]) -> float:
    """Answers a second to so many keys in 20 seconds, without the first and the last second."""
    names = [f"PSKEY{number}{it}".ljust(36, "X") for it in range(number)]
    simulator = Simulator(market, app_keys=dict.fromkeys(names, APP_SECRET))
    simulator.faults.latency = When(path="/uapi", seconds=LATENCY)
    settings = Settings.load(
        kis_app_key=",".join(names),
        kis_app_secret=",".join([APP_SECRET] * number),
        kis_use_virtual_server=False,
        kis_data_dir=folder / str(number),
        kis_api_base_url_real="http://kis.test",
        redis_url=shared.get("REDIS_URL"),
    )
    with KISDataSource(settings, transport=InProcessTransport(simulator)) as source:
        failed = each(
            range(20 * RATE * number),
            lambda _: source._client.ask(PRICE, SAMSUNG, dict),
            lambda *_: None,
            workers=source._workers,
        )
    assert failed == {}
    assert simulator.refusals == 0
    times = arrivals(simulator)
    times = [at for at in times if times[0] + 1 <= at <= times[-1] - 1]
    return (len(times) - 1) / (times[-1] - times[0])


CHART = "inquire-daily-itemchartprice"
STOCKS, KILLED_AT, IN_FLIGHT = 60, 30, 10
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 17)


@pytest.mark.slow
def test_a_run_killed_half_way_goes_on_where_it_stopped(
    warm_market: ModelMarket, settings: Settings, tmp_path: Path
) -> None:
    """The process of `kis-assets run`, with its token, quota, cache, Dagster and lake."""
    with open_source(Simulator(warm_market, rate_limit=0, token_window=0.0), settings) as source:
        master = source.tables.stock_master(LAST)
        codes = master.filter(pl.col("security_type") == "common")["stock_code"].head(STOCKS)
        right = source.tables.daily_candles(codes.to_list(), FIRST, LAST).rows
    simulator = Simulator(warm_market)
    with serve(simulator) as url:
        there = environment_of(url, tmp_path) | {"KIS_STOCK_CODES": ",".join(codes)}
        command = [sys.executable, "-m", "kis_assets.cli", "run", "--table", "daily_candles"]
        dying = subprocess.Popen(command, env=there, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 300
            while simulator.calls(CHART) < KILLED_AT and time.monotonic() < deadline:
                assert dying.poll() is None
                time.sleep(0.005)
        finally:
            dying.kill()
            dying.wait()
        before = simulator.calls(CHART)
        assert KILLED_AT <= before < STOCKS
        subprocess.run(command, env=there, check=True, stdout=subprocess.DEVNULL, timeout=300)
    again = simulator.calls(CHART) - before
    # What was on its way when the process died is asked for again.
    assert STOCKS - before <= again <= STOCKS - before + IN_FLIGHT
    assert simulator.tokens_issued == 1
    assert simulator.refusals == 0
    lake = Lake(tmp_path / "simulated_kis", source="simulated_kis")
    key = ["trading_day", "stock_code"]
    stored = lake.scan(DAILY_CANDLES).collect().drop("fetched_at", "source").sort(key)
    assert stored.equals(right.drop("fetched_at", "source").select(stored.columns).sort(key))

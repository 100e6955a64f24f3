"""The machine goes down in the middle of a capture and comes back: the next capture runs."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from kis_assets.execution import runner
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import PRICE_SNAPSHOTS
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.in_process import lake
from kis_assets_tests.transport.test_processes import environment_of

log = logging.getLogger(__name__)

PRICES = "intstock-multprice"
ENOUGH = 300.0
"""Seconds for the daemon to come to a first capture, on a machine busy with other things."""


@contextmanager
def daemon(environment: dict[str, str], log_to: Path) -> Iterator[Callable[[], None]]:
    """Dagster's daemon with all its processes, and what kills them all at once."""
    command = [sys.executable, "-m", "dagster._daemon", "run"]
    with log_to.open("ab") as output:
        process = subprocess.Popen(
            [*command, "-m", "kis_assets_tests.support.every_minute"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kill() -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    try:
        yield kill
    finally:
        if process.poll() is None:
            kill()


def wait(until: Callable[[], bool], seconds: float) -> float:
    """Wait for something; how many seconds it took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.mark.slow
def test_the_next_capture_runs_when_everything_was_killed_in_the_middle_of_one(
    market: ModelMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = Simulator(market)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with serve(simulator) as url:
        there = environment_of(url, tmp_path / "data") | {
            "CAPTURED_DAY": str(EVENING.date()),
            "DAGSTER_HOME": str(tmp_path / "home"),
        }
        for name, value in there.items():
            monkeypatch.setenv(name, value)
        runner.home(Settings.load())
        with dg.DagsterInstance.get() as instance:

            def runs(*statuses: dg.DagsterRunStatus) -> list[str]:
                found = instance.get_runs(dg.RunsFilter(statuses=list(statuses)))
                return [run.run_id for run in found]

            # Slowly, so that it is in the middle for half a minute.
            with daemon(there | {"KIS_API_RATE_LIMIT": "2"}, tmp_path / "log") as kill:
                wait(lambda: simulator.calls(PRICES) >= 5, ENOUGH)
                kill()
            (killed,) = runs(dg.DagsterRunStatus.STARTED)
            asked = simulator.calls(PRICES)
            with daemon(there, tmp_path / "log") as kill:
                ended = wait(lambda: killed in runs(dg.DagsterRunStatus.FAILURE), 60)
                begun = wait(lambda: simulator.calls(PRICES) > asked, 120 - ended)
                done = wait(lambda: bool(runs(dg.DagsterRunStatus.SUCCESS)), 120)
                kill()
            seconds = f"ended after {ended:.1f} s, the next began after {ended + begun:.1f} s"
            log.info(f"{seconds} and was there after {ended + begun + done:.1f} s")
        assert lake().scan(PRICE_SNAPSHOTS).collect()["captured_at"].n_unique() == 1

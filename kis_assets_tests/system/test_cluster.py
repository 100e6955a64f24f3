"""Several hosts: what an evening stores on them, hosts that vanish, and hosts that do not agree."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import redis

pytest.importorskip("dagster_celery", reason="make test-scale installs Celery's part of Dagster")
pytest.importorskip("dagster_postgres", reason="make test-scale installs PostgreSQL's part")

from kis_assets.defs.orphans import TAG
from kis_assets.lake.lake import Lake
from kis_assets.tables import MINUTE_CANDLES, TABLES
from kis_assets_tests.support import cluster as clusters
from kis_assets_tests.support.cluster import Cluster, Process, Simulated, Ui, wait

pytestmark = pytest.mark.scale

log = logging.getLogger(__name__)

DAY, BEFORE, EARLIER, EARLIEST = "2026-03-17", "2026-03-16", "2026-03-13", "2026-03-12"
EVENING = {
    "market_calendar": "2026",
    "stock_master_ingestion": DAY,
    "price_capture": DAY,
    "valuation_capture": DAY,
    "daily_candle_ingestion": "2026-03-01",
    "minute_candle_ingestion": DAY,
    "corporate_action_ingestion": "2026-03-01",
    "price_adjustment": "2026",
}
"""The jobs and their partitions, in three turns: what is asked for first, and last."""
TURNS = (list(EVENING)[:2], list(EVENING)[2:6], list(EVENING)[6:])
STORED = (
    *("market_days", "stock_master", "price_snapshots", "valuations", "daily_candles"),
    *("minute_candles", "corporate_actions", "adjustment_factors"),
)
FETCH_TIMES = ("fetched_at", "asked_at", "checked_at")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with clusters.running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def ui(cluster: Cluster) -> Iterator[Ui]:
    with cluster.ui() as found:
        yield found


@pytest.fixture
def workers(cluster: Cluster) -> Iterator[list[Process]]:
    """Two hosts with workers."""
    found = [cluster.worker(name) for name in ("one", "two")]
    yield found
    for process in found:
        process.kill()


@pytest.fixture(scope="module")
def alone(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """What one process stores of the same simulated days, without a cluster."""
    folder = tmp_path_factory.mktemp("alone")
    server = Simulated(folder, cluster.common)
    cluster.processes.append(server.process)
    environment = cluster.common | cluster.settings | server.settings
    environment |= {"KIS_DATA_DIR": str(folder / "data"), "DAGSTER_HOME": str(folder / "home")}
    del environment["REDIS_URL"]
    of_days = {DAY: STORED} | dict.fromkeys((BEFORE, EARLIER, EARLIEST), ("minute_candles",))
    for day, tables in of_days.items():
        named = [word for table in tables for word in ("--table", table)]
        command = [sys.executable, "-m", "kis_assets", "run", "--date", day, *named]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return Lake(folder / "data" / "simulated_kis", source="simulated_kis")


def together(cluster: Cluster) -> Lake:
    """What the hosts store."""
    return Lake(cluster.data / "simulated_kis", source="simulated_kis")


def rows(lake: Lake, table: str, day: str | None = None) -> pl.DataFrame:
    only = None if day is None else date.fromisoformat(day)
    found = lake.scan(TABLES[table], first=only, last=only).collect()
    return found.drop(*FETCH_TIMES, strict=False)


def test_an_evening_on_two_hosts_stores_what_one_process_stores(
    cluster: Cluster, ui: Ui, workers: list[Process], alone: Lake
) -> None:
    began, before = time.monotonic(), cluster.simulator.stats()
    for turn in TURNS:
        run_ids = [ui.launch(job, EVENING[job]) for job in turn]
        assert ui.ended(*run_ids) == ["SUCCESS"] * len(turn), [ui.said(it) for it in run_ids]
    seconds, stats = time.monotonic() - began, cluster.simulator.stats()
    on = {it.name for it in workers if "succeeded in" in it.log.read_text()}
    figures = ("calls", "tokens_issued", "refusals", "max_in_any_second")
    log.warning("evening: %.0f s, %s", seconds, {name: stats[name] for name in figures})
    assert on == {"one", "two"}
    assert not [it.name for it in workers if "exited with" in it.log.read_text()]
    for table in STORED:
        day = DAY if table == "minute_candles" else None  # of other tests it has other days
        ours, theirs = rows(together(cluster), table, day), rows(alone, table, day)
        assert ours.height or table == "adjustment_factors"  # no price of these was adjusted
        assert ours.equals(theirs), table
    assert stats["tokens_issued"] - before["tokens_issued"] == 1
    assert stats["max_in_any_second"] <= 18
    assert stats["refusals"] == before["refusals"]


def begun(ui: Ui, workers: list[Process], day: str) -> tuple[str, Process, Process]:
    """Minutes of a day that are being fetched: the run, its host, and the other host."""
    run_id = ui.launch("minute_candle_ingestion", day)
    pid = ui.pid(run_id)
    (host,) = [it for it in workers if it.has(pid)]
    (other,) = [it for it in workers if it is not host]
    return run_id, host, other


def in_the_middle(
    cluster: Cluster, ui: Ui, workers: list[Process], day: str, calls: int = 10
) -> tuple[str, Process, Process]:
    before = cluster.simulator.stats()["calls"]
    found = begun(ui, workers, day)
    wait(lambda: cluster.simulator.stats()["calls"] >= before + calls)
    return found


def test_the_run_of_a_host_that_vanishes_is_made_by_another_within_a_minute(
    cluster: Cluster, ui: Ui, workers: list[Process], alone: Lake
) -> None:
    run_id, host, _ = in_the_middle(cluster, ui, workers, BEFORE)
    host.signal_all(signal.SIGKILL)
    seconds = wait(lambda: ui.run(run_id).is_finished)
    log.warning("a host vanished: its run failed after %.0f s", seconds)
    assert "gives no sign of life" in ui.why(run_id)
    again = ui.retry_of(run_id)
    assert ui.ended(again) == ["SUCCESS"], ui.said(again)
    assert rows(together(cluster), "minute_candles", BEFORE).equals(
        rows(alone, "minute_candles", BEFORE)
    )
    assert seconds < 60


def test_a_run_whose_host_vanishes_before_it_begins_is_made_by_another_within_a_minute(
    cluster: Cluster, ui: Ui, workers: list[Process]
) -> None:
    run_id = ui.launch("market_calendar", "2026")
    wait(lambda: TAG in ui.run(run_id).tags)
    lock = json.loads(ui.run(run_id).tags[TAG])["lock"]
    homes = cluster.folder / "hosts"
    (host,) = [it for it in workers if (homes / it.name / "processes" / lock).exists()]
    host.signal_all(signal.SIGKILL)
    assert ui.run(run_id).status == dg.DagsterRunStatus.STARTING
    seconds = wait(lambda: ui.run(run_id).is_finished)
    log.warning("a host vanished before its run began: it failed after %.0f s", seconds)
    again = ui.retry_of(run_id)
    assert ui.ended(again) == ["SUCCESS"], ui.said(again)
    assert seconds < 60


def test_a_host_that_froze_and_comes_back_writes_nothing_more(
    cluster: Cluster, ui: Ui, workers: list[Process], alone: Lake
) -> None:
    run_id, host, _ = in_the_middle(cluster, ui, workers, EARLIER)
    host.signal_all(signal.SIGSTOP)
    wait(lambda: ui.run(run_id).is_finished)
    again = ui.retry_of(run_id)
    assert ui.ended(again) == ["SUCCESS"], ui.said(again)
    lake, unit = together(cluster), f"trading_day={EARLIER}"
    version, calls = lake.version(MINUTE_CANDLES, unit), cluster.simulator.stats()["calls"]
    pid = ui.pid(run_id)
    host.signal_all(signal.SIGCONT)
    seconds = wait(lambda: not host.has(pid))
    log.warning("a host came back: its run ended after %.0f s", seconds)
    assert lake.version(MINUTE_CANDLES, unit) == version
    assert len(lake.written_at(MINUTE_CANDLES, date.fromisoformat(EARLIER))) == 1
    assert cluster.simulator.stats()["calls"] - calls < 120
    assert rows(lake, "minute_candles", EARLIER).equals(rows(alone, "minute_candles", EARLIER))


def test_an_idle_worker_ends_with_sigterm(workers: list[Process]) -> None:
    began = time.monotonic()
    assert workers[0].terminate() == 0
    assert time.monotonic() - began < 15


def test_a_run_that_sigterm_interrupts_is_made_by_another_host(
    cluster: Cluster, ui: Ui, workers: list[Process]
) -> None:
    """One that takes longer than a worker waits for it."""
    cluster.simulator.fail(latency={"seconds": 8.0, "path": "inquire-time-dailychartprice"})
    run_id, host, _ = in_the_middle(cluster, ui, workers, "2026-03-10", calls=1)
    began = time.monotonic()
    assert host.terminate() == 0
    log.warning("SIGTERM in the middle of a run: it ended after %.0f s", time.monotonic() - began)
    assert ui.ended(run_id) == ["FAILURE"]
    cluster.simulator.fail(clear=True)
    again = ui.retry_of(run_id)
    assert ui.ended(again) == ["SUCCESS"], ui.said(again)


def test_a_process_that_is_killed_beside_a_worker_that_lives_is_noticed(
    cluster: Cluster, ui: Ui, workers: list[Process]
) -> None:
    run_id, _, _ = in_the_middle(cluster, ui, workers, "2026-03-11")
    os.kill(ui.pid(run_id), signal.SIGKILL)
    seconds = wait(lambda: ui.run(run_id).is_finished)
    log.warning("a process was killed: its run failed after %.0f s", seconds)
    again = ui.retry_of(run_id)
    assert ui.ended(again) == ["SUCCESS"], ui.said(again)
    assert seconds < 60


def test_a_redis_server_that_comes_back_empty_leaves_one_writer(
    cluster: Cluster, ui: Ui, workers: list[Process], alone: Lake
) -> None:
    """Dagster takes the run for lost with its task; so it is made again, and the first one ends."""
    cluster.simulator.fail(latency={"seconds": 4.0, "path": "inquire-time-dailychartprice"})
    run_id, host, _ = in_the_middle(cluster, ui, workers, EARLIEST, calls=1)
    pid = ui.pid(run_id)
    with redis.Redis.from_url(cluster.common["REDIS_URL"]) as client:
        client.flushall()
    status = ui.ended(run_id)
    log.warning("Redis came back empty: the run ended as %s", status)
    cluster.simulator.fail(clear=True)
    if status != ["SUCCESS"]:
        again = ui.retry_of(run_id)
        assert ui.ended(again) == ["SUCCESS"], ui.said(again)
    wait(lambda: not host.has(pid))
    lake = together(cluster)
    assert rows(lake, "minute_candles", EARLIEST).equals(rows(alone, "minute_candles", EARLIEST))
    assert len(lake.written_at(MINUTE_CANDLES, date.fromisoformat(EARLIEST))) == 1


OTHERS: dict[str, tuple[dict[str, str | None], str]] = {
    "another source": (
        {"DATA_SOURCE_TYPE": "mock"},
        "the source is mock (DATA_SOURCE_TYPE=mock) and not simulated_kis",
    ),
    "no keys": (
        {"DATA_SOURCE_TYPE": None, "KIS_APP_KEY": None, "KIS_APP_SECRET": None},
        "the source is mock (no KIS_APP_KEY is set) and not simulated_kis",
    ),
    "no lake": ({"KIS_DATA_DIR": "nowhere"}, "nowhere is not the folder that was asked for"),
}


@pytest.mark.parametrize(("changed", "said"), OTHERS.values(), ids=OTHERS)
def test_a_host_that_does_not_agree_stores_nothing_and_says_why(
    changed: dict[str, str | None], said: str, cluster: Cluster, ui: Ui
) -> None:
    def files() -> set[Path]:
        return {it for it in cluster.folder.rglob("*.parquet") if "simulator" not in str(it)}

    before, calls = files(), cluster.simulator.stats()["calls"]
    worker = cluster.worker("other", **changed)
    try:
        run_id = ui.launch("price_capture", DAY)
        assert ui.ended(run_id) == ["FAILURE"]
    finally:
        worker.kill()
    (sentence,) = ui.said(run_id)
    assert said in sentence
    assert "\n" not in sentence
    assert files() == before
    assert cluster.simulator.stats()["calls"] == calls


def test_a_worker_whose_settings_are_wrong_does_not_start(cluster: Cluster) -> None:
    settings = {**cluster.settings, "KIS_APP_KEY": "", "KIS_APP_SECRET": ""}
    command = [sys.executable, "-m", "celery", "-A", "kis_assets.execution.worker", "worker"]
    environment = cluster.common | settings | {"DAGSTER_HOME": str(cluster.home("wrong"))}
    done = subprocess.run(
        command, env=environment, cwd=cluster.folder, capture_output=True, text=True
    )
    assert done.returncode
    assert "error: DATA_SOURCE_TYPE=kis needs KIS_APP_KEY and KIS_APP_SECRET" in done.stderr
    assert "Traceback" not in done.stderr

"""A host that vanishes: its run ends, and writes nothing more if the host comes back."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import dagster as dg
import polars as pl
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from pydantic import SecretStr

from kis_assets.defs import leases, orphans
from kis_assets.defs.assets.market_days import computed_days
from kis_assets.defs.resources import LakeResource, lakes_beside, open_lake
from kis_assets.defs.sensors import sensors
from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, LakeError, Scope
from kis_assets.settings import Settings
from kis_assets.state.redis import WAIT
from kis_assets.state.redis import Redis as RealRedis
from kis_assets.tables import MARKET_DAYS
from kis_assets_tests.defs.test_agreement import ELSEWHERE

STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
FAILED, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
REDIS = SecretStr("redis://127.0.0.1:1/0")


class Redis:
    """A Redis server in this process, whose leases last until they are dropped."""

    def __init__(self) -> None:
        self.leases: set[str] = set()
        self.is_down = False

    def lease(self, name: str, seconds: float) -> None:
        assert seconds > 2 * leases.BEAT
        self._answer()
        self.leases.add(name)

    def is_leased(self, name: str) -> bool:
        self._answer()
        return name in self.leases

    def named_failures(self) -> nullcontext[None]:
        return nullcontext()

    def close(self) -> None:
        pass

    def _answer(self) -> None:
        if self.is_down:
            raise ServiceUnavailable("the Redis server cannot be used", passing=True)


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    server = Redis()
    monkeypatch.setattr(leases, "Redis", lambda _: server)
    monkeypatch.setattr(leases, "_pulses", {})
    monkeypatch.setattr(leases.Pulse, "start", lambda self: self.renew())
    monkeypatch.setattr(orphans, "_held", {})
    return server


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text(ELSEWHERE)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture
def instance(opened: dg.DagsterInstance) -> dg.DagsterInstance:
    opened.wipe()
    return opened


def begun(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = STARTED) -> str:
    run = dg.DagsterRun(job_name="price_capture", status=status)
    instance.add_run(run)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def on_another_host(instance: dg.DagsterInstance, redis: Redis) -> tuple[str, str]:
    """A run at work on a host that this one cannot see into: its id, and its lease."""
    run_id = begun(instance)
    orphans.mark(instance, run_id, "", REDIS)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    tag = json.loads(run.tags[orphans.TAG]) | {"host": "another", "boot": "its own"}
    instance.add_run_tags(run_id, {orphans.TAG: json.dumps(tag)})
    (name,) = redis.leases
    return run_id, name


def end(instance: dg.DagsterInstance, slept: list[float] | None = None) -> list[str]:
    sleep = (slept if slept is not None else []).append
    return orphans.end(instance, "here", 0.0, REDIS, sleep)


# The judge


def test_the_run_of_a_host_that_gives_no_sign_of_life_fails(
    instance: dg.DagsterInstance, redis: Redis
) -> None:
    run_id, _ = on_another_host(instance, redis)
    assert end(instance) == []
    redis.leases.clear()
    assert end(instance) == [run_id]
    assert status(instance, run_id) == FAILED
    (event,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert "gives no sign of life" in (event.message or "")


def test_a_redis_server_that_comes_back_empty_ends_no_run(
    instance: dg.DagsterInstance, redis: Redis
) -> None:
    """Who lives says so as soon as a renewal succeeds, and is given the time."""
    run_id, name = on_another_host(instance, redis)
    redis.leases.clear()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        redis.leases.add(name)

    assert orphans.end(instance, "here", 0.0, REDIS, sleep) == []
    assert status(instance, run_id) == STARTED
    (waited,) = slept
    assert waited > leases.BEAT + 4 * WAIT  # a renewal that fails, and the next


def test_nobody_is_judged_while_redis_does_not_answer(
    instance: dg.DagsterInstance, redis: Redis
) -> None:
    run_id, _ = on_another_host(instance, redis)
    redis.leases.clear()
    redis.is_down = True
    assert end(instance) == []
    assert status(instance, run_id) == STARTED


def test_without_the_package_redis_one_sentence_is_logged_and_nobody_is_judged(
    instance: dg.DagsterInstance,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    on_another_host(instance, redis)
    redis.leases.clear()
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setattr(leases, "Redis", RealRedis)
    monkeypatch.setattr(leases, "_pulses", {})
    assert end(instance) == []
    orphans.mark(instance, run_id := begun(instance), "", REDIS)
    run = instance.get_run_by_id(run_id)
    assert run is not None and "lease" not in json.loads(run.tags[orphans.TAG])
    assert caplog.text.count("the package redis is missing") == 2


def test_nobody_waits_as_long_as_all_live(instance: dg.DagsterInstance, redis: Redis) -> None:
    on_another_host(instance, redis)
    end(instance, slept := [])
    assert slept == []


def test_a_look_waits_once_for_runs_and_typed_backfills_together(
    instance: dg.DagsterInstance, redis: Redis
) -> None:
    """Dagster ends a look of a sensor after a minute."""
    run_id, name = on_another_host(instance, redis)
    tag = {"host": "another", "boot": "its own", "lock": name, "run": "ours", "lease": "redis"}
    instance.add_backfill(
        PartitionBackfill(
            "ours",
            BulkActionStatus.COMPLETED,
            from_failure=False,
            tags={orphans.TAG: json.dumps(tag)},
            backfill_timestamp=time.time(),
            partition_names=["2026"],
        )
    )
    redis.leases.clear()
    assert end(instance, slept := []) == [run_id, "ours"]
    assert slept == [leases.PATIENCE]


def test_a_run_without_a_lease_is_left_alone_on_another_host(
    instance: dg.DagsterInstance, redis: Redis
) -> None:
    """One whose host has no REDIS_URL, or an earlier version."""
    run_id = begun(instance)
    tag = {"host": "another", "boot": "its own", "lock": "0.lock", "run": run_id}
    instance.add_run_tags(run_id, {orphans.TAG: json.dumps(tag)})
    assert end(instance) == []


def test_a_run_that_waits_for_a_worker_outlives_a_restart_of_the_code_location(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = begun(instance, dg.DagsterRunStatus.NOT_STARTED)
    event = dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, "price_capture")
    instance.report_dagster_event(event, run_id=run_id)
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert orphans.end(instance, None, later) == []
    assert status(instance, run_id) == STARTING


def test_hosts_are_looked_at_often_enough_to_end_a_run_within_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = sensors(Settings.load())[-1]
    monkeypatch.setenv("REDIS_URL", REDIS.get_secret_value())
    shared = sensors(Settings.load())[-1]
    assert alone.minimum_interval_seconds == 30
    assert leases.LASTS + (shared.minimum_interval_seconds or 0) + leases.PATIENCE <= 50


# The process that is judged


def test_a_process_without_redis_asks_no_server(instance: dg.DagsterInstance, redis: Redis) -> None:
    orphans.mark(instance, run_id := begun(instance))
    assert redis.leases == set()
    assert leases.fence(instance, run_id) is None


def test_a_redis_server_that_is_down_stops_no_process(
    instance: dg.DagsterInstance, redis: Redis
) -> None:
    redis.is_down = True
    orphans.mark(instance, begun(instance), "", REDIS)
    redis.is_down = False
    (pulse,) = leases._pulses.values()
    pulse.renew()
    assert len(redis.leases) == 1


def test_a_storage_of_runs_that_does_not_answer_ends_no_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renewed, asked, answers = threading.Semaphore(0), threading.Event(), threading.Event()

    class Held(Redis):
        def lease(self, name: str, seconds: float) -> None:
            renewed.release()

    class Silent(dg.DagsterInstance):
        def __init__(self) -> None: ...

        def get_run_by_id(self, run_id: str) -> dg.DagsterRun | None:
            asked.set()
            answers.wait(5)
            return dg.DagsterRun(job_name="price_capture")

    monkeypatch.setattr(leases, "BEAT", 0.01)
    pulse = leases.Pulse(cast("Any", Held()), "mine")
    pulse.runs["run"] = Silent()
    pulse.start()
    try:
        assert asked.wait(5)
        assert all(renewed.acquire(timeout=5) for _ in range(9))  # more than before it was asked
    finally:
        monkeypatch.setattr(leases, "BEAT", 3600.0)
        answers.set()


def test_a_process_whose_run_was_ended_is_interrupted_and_no_other(
    instance: dg.DagsterInstance, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int | None, int]] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda *given: sent.append(given))
    first, second = begun(instance), begun(instance)
    for run_id in (first, second):
        orphans.mark(instance, run_id, "", REDIS)
    (pulse,) = leases._pulses.values()
    pulse.look()
    assert sent == []
    leases.unwatch(second)
    for run_id in (second, first):
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_failed(run)
        pulse.look()
        expected = [(threading.main_thread().ident, signal.SIGINT)] if run_id == first else []
        assert sent == expected


# Its writes


def days() -> tuple[Scope, pl.DataFrame]:
    return Scope.year(2026), computed_days(2026, "mock", calendar.now())


def test_a_run_that_was_ended_writes_nothing_more(
    instance: dg.DagsterInstance, redis: Redis, tmp_path: Path
) -> None:
    orphans.mark(instance, run_id := begun(instance), "", REDIS)
    settings = Settings.load(data_source_type="mock", kis_data_dir=tmp_path / "data")
    lake = open_lake(settings, leases.fence(instance, run_id))
    scope, rows = days()
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    with pytest.raises(LakeError, match="was ended"):
        lake.replace(MARKET_DAYS, scope, rows)
    assert lake.version(MARKET_DAYS, "year=2026") is None
    assert open_lake(settings).replace(MARKET_DAYS, scope, rows).added


def test_who_was_frozen_at_the_last_moment_is_never_the_newest(tmp_path: Path) -> None:
    """Between the question whether it may and the new name: whoever came after it stays."""
    scope, rows = days()
    second = Lake(tmp_path, source="mock")
    newest: list[str | None] = []

    def frozen() -> None:
        before = list((tmp_path / ".locks").glob("*"))
        for path in before:  # its host is gone, and with it its locks
            path.unlink()
        second.replace(MARKET_DAYS, scope, rows)
        newest.append(second.version(MARKET_DAYS, "year=2026"))

    with suppress(LakeError):  # who came after it has cleared away its file
        Lake(tmp_path, source="mock", may_write=frozen).replace(MARKET_DAYS, scope, rows)
    assert newest == [second.version(MARKET_DAYS, "year=2026")]


def test_the_lake_of_a_run_asks_whether_the_run_is_at_work(
    instance: dg.DagsterInstance, redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REDIS_URL", REDIS.get_secret_value())
    run = instance.get_run_by_id(begun(instance))
    assert run is not None
    context = dg.build_init_resource_context(instance=instance)
    monkeypatch.setattr(type(context), "run", run)
    with LakeResource().yield_for_execution(context) as resource:
        instance.report_run_failed(run)
        with pytest.raises(LakeError, match="was ended"):
            resource.lake.replace(MARKET_DAYS, *days())


def test_the_lake_of_krx_beside_it_asks_the_same(tmp_path: Path) -> None:
    def refuse() -> None:
        raise LakeError("the run was ended")

    (tmp_path / "krx").mkdir()
    own = Lake(tmp_path / "kis", source="kis", may_write=refuse)
    _, beside = lakes_beside(own)
    assert beside.source == "krx"
    with pytest.raises(LakeError, match="was ended"):
        beside.replace(MARKET_DAYS, Scope.year(2026), computed_days(2026, "krx", calendar.now()))


def test_a_run_names_its_process_once(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever resources it has; the source is added by the one that knows it."""
    written: list[dict[str, str]] = []
    monkeypatch.setattr(instance, "add_run_tags", lambda _, tags: written.append(tags))
    run_id = begun(instance)
    for source in ("", "kis", "", "kis"):
        orphans.mark(instance, run_id, source)
    assert [orphans.SOURCE in tags for tags in written] == [False, True]

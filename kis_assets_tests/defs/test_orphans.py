"""Runs whose process is gone end, and those that live do not; pools hold from their first use."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.dagster_run import RunOpConcurrency
from dagster._core.utils import make_new_backfill_id
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)
from filelock import FileLock

from kis_assets.definitions import defs
from kis_assets.defs import orphans
from kis_assets.defs.sensors import sensors
from kis_assets.execution import history, runner
from kis_assets.settings import Settings

STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
FAILED, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
CANCELING, CANCELED = dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED
LAUNCHED = {".dagster/grpc_info": '{"host": "localhost"}'}
HERE = RemoteJobOrigin(
    RemoteRepositoryOrigin(
        GrpcServerCodeLocationOrigin("localhost", socket="a socket", location_name="here"),
        "__repository__",
    ),
    "price_capture",
)
NOBODY = 2**22 + 1
"""More than the number of any process."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Dagster as `kis-assets ui` makes it."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DAGSTER_HOME", str(folder))
        return runner.home(Settings.load(data_source_type="mock"))


@pytest.fixture
def instance(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """Dagster with a fresh home of its own."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with dg.DagsterInstance.get() as found:
        yield found


def begun(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus = STARTED,
    tags: dict[str, str] | None = None,
    pool: str = "kis_live",
) -> str:
    """A run that is at work, or that waits; its id."""
    run = dg.DagsterRun(
        job_name="price_capture",
        status=status,
        tags=tags or {},
        remote_job_origin=HERE,
        run_op_concurrency=RunOpConcurrency(
            all_pools={pool}, root_key_counts={pool: 1}, has_unconstrained_root_nodes=False
        ),
    )
    instance.add_run(run)
    return run.run_id


def launched(instance: dg.DagsterInstance) -> str:
    """A run that Dagster has just launched, and whose process said nothing yet."""
    run_id = begun(instance, dg.DagsterRunStatus.QUEUED)
    event = dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, "price_capture")
    instance.report_dagster_event(event, run_id=run_id)
    return run_id


class Process:
    """A process that runs assets, by the lock that it holds."""

    def __init__(self, instance: dg.DagsterInstance, host: str = "", boot: str = "") -> None:
        folder = Path(instance.root_directory) / "processes"
        folder.mkdir(exist_ok=True)
        self._lock = FileLock(folder / f"{uuid4().hex}.lock")
        self._lock.acquire()
        tag = {
            "host": host or socket.gethostname(),
            "boot": boot or "its own",
            "lock": Path(self._lock.lock_file).name,
        }
        self.tags = {orphans.TAG: json.dumps(tag)}

    def die(self) -> None:
        self._lock.release()


def end(instance: dg.DagsterInstance, loaded_at: float = 0.0) -> list[str]:
    """Look once; the ids of what was ended."""
    return orphans.end(instance, "here", loaded_at)


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def leaving_the_queue(instance: dg.DagsterInstance) -> list[str]:
    """The runs that Dagster's daemon would launch now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=5)
    config = instance.get_concurrency_config()
    return [run.run_id for run in daemon._get_runs_to_dequeue(instance, config, None)]


# The process and its lock

MARKED = """
import sys, dagster as dg
from kis_assets.defs import orphans
with dg.DagsterInstance.get() as instance:
    orphans.mark(instance, sys.argv[1])
    print("marked", flush=True)
    sys.stdin.read()
"""


def test_the_run_of_a_process_that_was_killed_ends_as_failed_and_the_next_one_starts(
    instance: dg.DagsterInstance,
) -> None:
    run_id = begun(instance)
    waiting = begun(instance, dg.DagsterRunStatus.QUEUED)
    process = subprocess.Popen(
        [sys.executable, "-c", MARKED, run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"marked\n"
        assert end(instance) == []
        assert leaving_the_queue(instance) == []
        process.kill()
    assert end(instance) == [run_id]
    assert status(instance, run_id) == FAILED
    assert leaving_the_queue(instance) == [waiting]
    assert end(instance) == []


def test_every_run_of_a_process_names_the_same_lock(instance: dg.DagsterInstance) -> None:
    for run_id in (first := begun(instance), second := begun(instance)):
        orphans.mark(instance, run_id)
    tags = [json.loads(run.tags[orphans.TAG]) for run in instance.get_runs()]
    assert tags[0]["lock"] == tags[1]["lock"]
    assert end(instance) == []
    assert {status(instance, it) for it in (first, second)} == {STARTED}


def test_a_run_that_is_started_again_is_not_judged_by_the_process_of_the_first(
    instance: dg.DagsterInstance,
) -> None:
    """Dagster copies the tags of the run that it starts again, as soon as it is asked for."""
    process = Process(instance)
    tag = json.loads(process.tags[orphans.TAG]) | {"run": begun(instance)}
    process.die()
    again = begun(instance, STARTING, {orphans.TAG: json.dumps(tag)})
    assert again not in end(instance)
    assert status(instance, again) == STARTING


def test_a_run_that_is_started_again_names_its_own_source(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    copied = {orphans.SOURCE: "kis"}
    runner.materialize("market_days", "2026", instance, Settings.load(), None, copied)
    (run,) = instance.get_runs()
    assert run.tags[orphans.SOURCE] == "mock"


def test_an_asset_marks_its_run(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    outcome = runner.materialize("market_days", "2026", instance, Settings.load())
    assert not outcome.error
    (run,) = instance.get_runs()
    assert json.loads(run.tags[orphans.TAG])["host"] == socket.gethostname()


def test_a_run_that_was_being_canceled_ends_as_canceled(instance: dg.DagsterInstance) -> None:
    process = Process(instance)
    run_id = begun(instance, CANCELING, process.tags)
    assert end(instance) == []
    process.die()
    assert end(instance) == [run_id]
    assert status(instance, run_id) == CANCELED


def test_a_run_that_came_to_its_end_meanwhile_keeps_it(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(instance)
    run_id = begun(instance, STARTED, process.tags)
    before = instance.get_runs()
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_SUCCESS.value, "price_capture"), run_id
    )
    process.die()
    monkeypatch.setattr(instance, "get_runs", lambda _: before)
    assert end(instance) == []
    assert status(instance, run_id) == SUCCESS


@pytest.mark.parametrize("host", ["another", socket.gethostname()])
def test_a_run_on_another_host_is_left_alone(instance: dg.DagsterInstance, host: str) -> None:
    process = Process(instance, host)
    run_id = begun(instance, STARTED, process.tags)
    process.die()
    assert end(instance) == ([] if host == "another" else [run_id])


def test_a_container_that_was_made_anew_knows_what_the_one_before_left(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "_boot", lambda: "this start of the machine")
    process = Process(instance, "the container before", "this start of the machine")
    run_id = begun(instance, STARTED, process.tags)
    assert end(instance) == []
    process.die()
    assert end(instance) == [run_id]


def test_a_lock_that_cannot_be_seen_says_nothing(instance: dg.DagsterInstance) -> None:
    process = Process(instance)
    begun(instance, STARTED, process.tags)
    shutil.rmtree(Path(instance.root_directory) / "processes")
    assert end(instance) == []


def test_where_dagster_home_cannot_be_written_a_process_holds_its_lock_elsewhere(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container has a root that cannot be written, and its history is in PostgreSQL."""
    home, access = instance.root_directory, os.access
    monkeypatch.setattr(os, "access", lambda it, how: str(it) != home and access(it, how))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(orphans, "_held", {})
    run_id = begun(instance, STARTED)
    orphans.mark(instance, run_id)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    lock = json.loads(run.tags[orphans.TAG])["lock"]
    assert not (Path(home) / "processes" / lock).exists()
    assert end(instance) == []
    for held in orphans._held.values():
        held.release()
    assert end(instance) == [run_id]


def test_locks_are_swept_away_a_day_after_their_process(instance: dg.DagsterInstance) -> None:
    alive, dead, just_dead = Process(instance), Process(instance), Process(instance)
    dead.die()
    just_dead.die()
    folder = Path(instance.root_directory) / "processes"
    for process in (alive, dead):
        os.utime(folder / json.loads(process.tags[orphans.TAG])["lock"], (0, 0))
    end(instance)
    left = {json.loads(it.tags[orphans.TAG])["lock"] for it in (alive, just_dead)}
    assert {path.name for path in folder.iterdir()} == left
    begun(instance, STARTED, alive.tags)
    assert end(instance) == []


# Backfills that were typed


def filling(instance: dg.DagsterInstance, process: Process, named: str = "") -> str:
    """A backfill that is at work in a process, or that copied the tag of another; its id."""
    backfill_id = make_new_backfill_id()
    tag = json.loads(process.tags[orphans.TAG]) | {"run": named or backfill_id}
    instance.add_backfill(
        PartitionBackfill(
            backfill_id,
            BulkActionStatus.COMPLETED,
            from_failure=False,
            tags={orphans.TAG: json.dumps(tag)},
            backfill_timestamp=time.time(),
            partition_names=["2026"],
        )
    )
    return backfill_id


def test_the_backfill_of_a_process_that_was_killed_ends_as_failed(
    instance: dg.DagsterInstance,
) -> None:
    process = Process(instance)
    backfill_id = filling(instance, process)
    assert end(instance) == []
    process.die()
    again = filling(instance, process, named=backfill_id)
    assert end(instance) == [backfill_id]
    ended, left = instance.get_backfill(backfill_id), instance.get_backfill(again)
    assert ended is not None
    assert left is not None
    assert (ended.status, left.status) == (BulkActionStatus.FAILED, BulkActionStatus.COMPLETED)
    assert ended.backfill_end_timestamp is not None
    assert ended.error is not None
    assert "its process is gone" in ended.error.message
    assert end(instance) == []


def test_a_typed_backfill_names_its_process(instance: dg.DagsterInstance) -> None:
    with history.backfill("market_days", ["2026"], Settings.load(), instance) as at_work:
        recorded = instance.get_backfill(at_work.backfill_id)
        assert recorded is not None
        tag = json.loads(recorded.tags[orphans.TAG])
        assert (tag["host"], tag["run"]) == (socket.gethostname(), at_work.backfill_id)
        assert end(instance) == []


# Runs that name no lock


def test_a_run_that_was_launched_before_a_restart_and_never_began_ends(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = launched(instance)
    restarted_at = time.time()
    since = launched(instance)
    assert end(instance, restarted_at) == []  # its process may be on its way
    monkeypatch.setattr(time, "time", lambda: restarted_at + orphans.PATIENCE + 5)
    assert end(instance, restarted_at) == [before]
    assert status(instance, since) == STARTING


def started_by(instance: dg.DagsterInstance, pid: int, tags: dict[str, str]) -> str:
    """A run of an earlier version, or with no resource of this project."""
    run_id = begun(instance, STARTED, tags)
    run = instance.get_run_by_id(run_id)
    message = f"Started process for run (pid: {pid})."
    instance.report_engine_event(message, run, EngineEventData.in_process(pid))
    return run_id


def test_a_run_without_a_mark_ends_when_the_process_is_gone_that_dagster_wrote_down(
    instance: dg.DagsterInstance,
) -> None:
    alive = started_by(instance, os.getpid(), LAUNCHED)
    somewhere = started_by(instance, NOBODY, {})
    gone = started_by(instance, NOBODY, LAUNCHED)
    assert end(instance) == [gone]
    assert {status(instance, it) for it in (alive, somewhere)} == {STARTED}


def test_a_run_of_another_code_location_is_left_alone(instance: dg.DagsterInstance) -> None:
    started_by(instance, NOBODY, LAUNCHED)
    assert orphans.end(instance, "elsewhere", 0.0) == []


# The sensor


def test_the_sensor_runs_whether_schedules_do_or_not_and_ends_what_is_dead(
    instance: dg.DagsterInstance,
) -> None:
    sensor = sensors(Settings.load(kis_schedules=False))[-1]
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    process = Process(instance)
    run_id, backfill_id = begun(instance, STARTED, process.tags), filling(instance, process)
    process.die()
    for said in (f"ended {run_id}, {backfill_id}", "every run is alive"):
        with dg.build_sensor_context(instance) as context:
            found = sensor(context)
        assert isinstance(found, dg.SkipReason)
        assert found.skip_message == said


# Pools and settings


@pytest.mark.parametrize("pool", orphans.POOLS)
def test_a_pool_has_its_limit_at_its_first_use(instance: dg.DagsterInstance, pool: str) -> None:
    first, *_ = [begun(instance, dg.DagsterRunStatus.QUEUED, pool=pool) for _ in range(3)]
    assert leaving_the_queue(instance) == [first]


def test_a_limit_that_a_person_set_stays(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("kis_history", 2)
    orphans.limit_pools(instance)
    limits = {it.name: it.limit for it in instance.event_log_storage.get_pool_limits()}
    assert limits == {"kis_live": 1, "kis_history": 2, "krx": 1}


@pytest.mark.parametrize(("keys", "places"), [(1, 1), (6, 1), (7, 2), (50, 9)])
def test_pools_follow_the_keys_that_one_run_cannot_use(
    instance: dg.DagsterInstance, keys: int, places: int
) -> None:
    orphans.limit_pools(instance)
    orphans.limit_pools(instance, keys)
    limits = {it.name: it.limit for it in instance.event_log_storage.get_pool_limits()}
    assert limits == {"kis_live": places, "kis_history": places, "krx": 1}


def test_the_pools_are_those_of_the_assets_and_jobs() -> None:
    nodes = [node for job in defs.resolve_all_job_defs() for node in job.nodes]
    assert set().union(*(node.definition.pools for node in nodes)) == set(orphans.POOLS)


EARLIER = """\
telemetry:
  enabled: false
concurrency:
  # By run, not by step: a run that was killed leaves no place taken.
  pools:
    default_limit: 1
    granularity: run
run_monitoring:
  enabled: true
"""


def test_settings_of_dagster_are_renewed_unless_a_person_wrote_them(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shutil.copytree(made, tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    config = home / "dagster.yaml"
    now = config.read_text()
    newer, own = EARLIER + "nux:\n  enabled: false\n", EARLIER + "# with a note of mine\n"
    for before, after in ((EARLIER, now), (newer, now), (own, own)):
        config.write_text(before)
        runner.home(Settings.load(data_source_type="mock"))
        assert config.read_text() == after

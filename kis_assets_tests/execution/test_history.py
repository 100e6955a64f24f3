"""What Dagster's history tells of runs that were typed: as much as of those that it started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.scheduler.instigation import TickStatus

from kis_assets import definitions
from kis_assets.defs.resources import resources_of
from kis_assets.errors import KISError
from kis_assets.execution import backfill, history, runner
from kis_assets.execution.dagster_home import in_process, opened
from kis_assets.execution.plan import Plan
from kis_assets.execution.runner import Outcome
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import EVENING, open_source
from kis_assets_tests.test_floors import ROOT

MONTHS = ["2026-01-01", "2026-02-01", "2026-03-01"]
FLOWS = Plan("investor_flows", MONTHS, 0, [], {}, 1, 3, 1.0)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def given(simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a source with one stock, which is a server in this process."""
    monkeypatch.setattr(
        "kis_assets.defs.resources.create_data_source",
        lambda settings: open_source(simulator, settings),
    )
    return settings.model_copy(update={"kis_stock_codes": ("005930",)})


def only(instance: dg.DagsterInstance) -> dg.DagsterRun:
    (run,) = instance.get_runs()
    return run


def made(table: str, instance: dg.DagsterInstance, settings: Settings) -> dg.DagsterRun:
    (done,) = runner.run_day(EVENING.date(), instance, settings, [table])
    assert not done.error
    return only(instance)


def test_a_run_is_one_of_the_job_that_makes_the_table(
    instance: dg.DagsterInstance, given: Settings
) -> None:
    run = made("market_days", instance, given)
    assert (run.job_name, run.status) == ("market_calendar", dg.DagsterRunStatus.SUCCESS)
    assert run.asset_selection == {dg.AssetKey("market_days")}
    assert run.tags["dagster/partition"] == "2026"
    assert run.tags["dagster/partition_set"] == "market_calendar_partition_set"
    assert (run.tags["kis_assets/source"], run.tags["kis_assets/table"]) == ("kis", "market_days")
    # It is no part of anything else, and how quiet it was is no setting of it.
    assert (run.parent_run_id, run.root_run_id, run.run_config) == (None, None, {})
    assert "dagster/backfill" not in run.tags


def test_the_ui_finds_the_job_where_it_has_loaded_it(
    instance: dg.DagsterInstance, given: Settings
) -> None:
    origin = made("market_days", instance, given).remote_job_origin
    assert origin is not None
    where = origin.repository_origin
    workspace = yaml.safe_load((ROOT.parent / "workspace.yaml").read_text(encoding="utf-8"))
    (loaded,) = workspace["load_from"]
    assert (where.code_location_origin.location_name, where.repository_name, origin.job_name) == (
        loaded["python_module"]["module_name"],
        "__repository__",
        "market_calendar",
    )


def test_its_job_is_recorded_as_dagster_has_it(
    instance: dg.DagsterInstance, given: Settings
) -> None:
    """Else the UI warns that the job is another one by now."""
    run = made("market_days", instance, given)
    assert run.job_snapshot_id is not None
    recorded = instance.get_job_snapshot(run.job_snapshot_id)
    assert recorded.lineage_snapshot is not None
    job = history.job_of("market_days")
    assert recorded.lineage_snapshot.parent_snapshot_id == job.get_job_snapshot_id()


@pytest.mark.parametrize(
    ("table", "job"),
    [
        ("price_snapshots", "price_capture"),
        ("investor_flows", "flow_ingestion"),
        ("stock_info", "reference_ingestion"),
        ("real_time_feed", "__ASSET_JOB"),
    ],
)
def test_the_job_of_a_table_is_the_smallest_that_makes_it(table: str, job: str) -> None:
    assert history.job_of(table).name == job


def test_what_is_interrupted_is_canceled_and_no_failure(
    instance: dg.DagsterInstance, given: Settings
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run_day(EVENING.date(), instance, given, ["price_snapshots"], progress=interrupt)
    assert only(instance).status == dg.DagsterRunStatus.CANCELED


MOMENTS = ["PIPELINE_START", "STEP_START", "ASSET_MATERIALIZATION", "STEP_SUCCESS"]


def events_of(instance: dg.DagsterInstance, settings: Settings) -> Any:
    resources = {**(definitions.load().resources or {}), **resources_of(settings, None)}
    return closing(history.execute("market_days", "2026", instance, resources, {}))


@pytest.mark.parametrize("moment", ["its creation", "its start"])
def test_what_is_interrupted_before_it_begins_is_canceled(
    moment: str, instance: dg.DagsterInstance, given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = instance.create_run

    def interrupted(*args: Any, **options: Any) -> Any:
        if moment == "its creation":
            create(*args, **options)
        raise KeyboardInterrupt

    of, name = (instance, "create_run") if moment == "its creation" else (history, "copy")
    monkeypatch.setattr(of, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.materialize("market_days", "2026", instance, given)
    assert only(instance).status == dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_cancels_a_run_whatever_it_is_at(
    moment: str, instance: dg.DagsterInstance, given: Settings
) -> None:
    with pytest.raises(KeyboardInterrupt), events_of(instance, given) as events:
        for event in events:
            if event.event_type_value == moment:
                signal.raise_signal(signal.SIGINT)
            if history.interruption(event):
                raise KeyboardInterrupt
    assert only(instance).status == dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_nobody_follows_any_more_is_canceled(
    moment: str, instance: dg.DagsterInstance, given: Settings
) -> None:
    with events_of(instance, given) as events:
        next(event for event in events if event.event_type_value == moment)
    assert only(instance).status == dg.DagsterRunStatus.CANCELED


def test_a_signal_after_its_end_leaves_a_run_as_it_ended(
    instance: dg.DagsterInstance, given: Settings
) -> None:
    with pytest.raises(KeyboardInterrupt), events_of(instance, given) as events:
        for event in events:
            if event.is_job_success:
                signal.raise_signal(signal.SIGINT)
    assert only(instance).status == dg.DagsterRunStatus.SUCCESS


@pytest.mark.parametrize("forced", [False, True])
def test_a_run_that_is_canceled_in_the_ui_stops(
    forced: bool, instance: dg.DagsterInstance, given: Settings
) -> None:
    with pytest.raises(history.Canceled), events_of(instance, given) as events:
        for event in events:
            if event.is_step_start:
                run = only(instance)
                (instance.report_run_canceled if forced else instance.report_run_canceling)(run)
    assert only(instance).status == dg.DagsterRunStatus.CANCELED


def cancel(instance: dg.DagsterInstance, status: BulkActionStatus) -> None:
    """What the UI does, and Dagster's daemon after it."""
    (recorded,) = instance.get_backfills()
    instance.update_backfill(recorded.with_status(status))


@pytest.mark.parametrize("status", [BulkActionStatus.CANCELING, BulkActionStatus.CANCELED])
def test_a_backfill_that_is_canceled_in_the_ui_begins_no_other_partition(
    status: BulkActionStatus, instance: dg.DagsterInstance, settings: Settings
) -> None:
    begun: list[str] = []

    def make(table: str, key: str, *_: Any) -> Outcome:
        begun.append(key)
        cancel(instance, status)
        return Outcome(table, key)

    with pytest.raises(history.Canceled):
        list(backfill.run(FLOWS, settings, instance, make=make))
    (recorded,) = instance.get_backfills()
    assert (begun, recorded.status) == (MONTHS[:1], BulkActionStatus.CANCELED)
    assert recorded.backfill_end_timestamp is not None


def test_a_backfill_that_is_canceled_in_the_ui_stops_in_the_middle_of_a_partition(
    instance: dg.DagsterInstance, given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_LOOK", 0.0)

    def progress(*_: Any) -> None:
        cancel(instance, BulkActionStatus.CANCELING)

    with pytest.raises(history.Canceled):
        list(backfill.run(FLOWS, given, instance, progress=progress))
    (recorded,) = instance.get_backfills()
    assert recorded.status == BulkActionStatus.CANCELED
    assert only(instance).status == dg.DagsterRunStatus.CANCELED


def test_a_backfill_that_nobody_follows_any_more_is_canceled(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    outcomes = backfill.run(
        FLOWS, settings, instance, make=lambda table, key, *_: Outcome(table, key)
    )
    with closing(outcomes):
        next(outcomes)
    (recorded,) = instance.get_backfills()
    assert recorded.status == BulkActionStatus.CANCELED


def test_sigterm_ends_runs_as_ctrl_c_does(
    settings: Settings,
) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), in_process(runner.home(settings)):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def filled(
    instance: dg.DagsterInstance, settings: Settings, error: BaseException | str = ""
) -> tuple[PartitionBackfill, list[dict[str, str]]]:
    """The backfill that is recorded, and the tags that its runs were given."""
    found: list[dict[str, str]] = []

    def make(table: str, key: str, _i: Any, _s: Any, _p: Any, tags: dict[str, str]) -> Outcome:
        found.append(tags)
        (at_work,) = instance.get_backfills()
        assert at_work.status == BulkActionStatus.COMPLETED  # the daemon begins nothing of it
        if isinstance(error, BaseException):
            raise error
        return Outcome(table, key, error=error if key == MONTHS[1] else "")

    try:
        list(backfill.run(FLOWS, settings, instance, make=make))
    except BaseException as ended:
        assert ended is error
    (recorded,) = instance.get_backfills()
    return recorded, found


def test_the_runs_of_a_backfill_are_one_backfill_of_the_job(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    recorded, tags = filled(instance, settings)
    assert [it["dagster/backfill"] for it in tags] == [recorded.backfill_id] * 3
    assert recorded.job_name == "flow_ingestion"
    assert recorded.partition_names == MONTHS
    assert recorded.asset_selection == [dg.AssetKey("investor_flows")]
    assert recorded.tags["kis_assets/source"] == "kis"
    assert recorded.backfill_end_timestamp is not None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("", BulkActionStatus.COMPLETED_SUCCESS),
        ("the disk is full", BulkActionStatus.COMPLETED_FAILED),
        (KeyboardInterrupt(), BulkActionStatus.CANCELED),
        (KISError("KIS is down"), BulkActionStatus.FAILED),
    ],
)
def test_a_backfill_says_how_it_ended(
    error: BaseException | str,
    status: BulkActionStatus,
    instance: dg.DagsterInstance,
    settings: Settings,
) -> None:
    recorded, _ = filled(instance, settings, error)
    assert recorded.status == status
    if isinstance(error, KISError):
        assert recorded.error is not None
        assert recorded.error.message == "KIS is down"


def test_a_run_of_a_backfill_carries_its_tag(instance: dg.DagsterInstance, given: Settings) -> None:
    tags = {"dagster/backfill": "abcdefgh"}
    outcome = runner.materialize("market_days", "2026", instance, given, None, tags)
    assert (outcome.error, only(instance).tags["dagster/backfill"]) == ("", "abcdefgh")


def test_with_a_run_dagster_forgets_its_partition_so_none_is_deleted_by_itself(
    instance: dg.DagsterInstance, given: Settings
) -> None:
    """Once this fails, old runs can be deleted: see docs/operators.md."""
    run, key = made("market_days", instance, given), dg.AssetKey("market_days")
    assert instance.get_materialized_partitions(key) == {"2026"}
    instance.delete_run(run.run_id)
    assert instance.get_materialized_partitions(key) == set()


def test_ticks_are_deleted_by_dagster_itself(settings: Settings) -> None:
    with opened(runner.home(settings)) as instance:
        kept = {
            kind: instance.get_tick_retention_settings(kind)
            for kind in (InstigatorType.SCHEDULE, InstigatorType.SENSOR)
        }
    assert kept[InstigatorType.SCHEDULE][TickStatus.SUCCESS] == 90
    assert kept[InstigatorType.SENSOR][TickStatus.SKIPPED] == 1

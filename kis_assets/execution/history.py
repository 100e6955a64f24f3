"""Records runs in this process in Dagster's history, with job, assets, source and backfill.

So the UI shows a typed run on the timeline and among the runs of its job, and can start it again.
Dagster's own functions for runs in a process, such as `dg.materialize`, do not record this.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run_iterator
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.execution.execute_in_process import merge_run_tags
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemotePartitionSetOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.remote_representation.external_data import partition_set_snap_name_for_job_name
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.tags import BACKFILL_ID_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_backfill_id, make_new_run_id
from dagster._utils.interrupts import check_captured_interrupt
from dagster_shared.error import SerializableErrorInfo
from dagster_shared.record import copy

from kis_assets import definitions
from kis_assets.defs.orphans import SOURCE, process_tag
from kis_assets.errors import KISError
from kis_assets.settings import Settings
from kis_assets.tables import TABLES

LOCATION = "kis_assets.definitions"
"""The name of the code location in the UI and in `workspace.yaml`."""
_SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def job_of(table: str) -> dg.JobDefinition:
    """The smallest job that makes a table, or else Dagster's implicit job of all assets."""
    repository, key = definitions.load().get_repository_def(), dg.AssetKey(table)
    jobs = [
        job
        for job in repository.get_all_jobs()
        if job.name != IMPLICIT_ASSET_JOB_NAME and key in job.asset_layer.selected_asset_keys
    ]
    if not jobs:
        return repository.get_job(IMPLICIT_ASSET_JOB_NAME)
    return min(jobs, key=lambda job: (len(job.asset_layer.selected_asset_keys), job.name))


def tags_of(table: str, settings: Settings) -> dict[str, str]:
    """Tags to search runs by: the table and its source."""
    own = TABLES[table].own_source if table in TABLES else ""
    return {SOURCE: own or settings.source_name, "kis_assets/table": table}


class Canceled(KeyboardInterrupt):
    """A run or a backfill was canceled in Dagster's UI; it ends like after Ctrl-C."""


def execute(
    table: str,
    partition: str,
    instance: dg.DagsterInstance,
    resources: Mapping[str, object],
    tags: Mapping[str, str],
) -> Generator[dg.DagsterEvent]:
    """Run a table's job for one partition in this process. An interrupted run becomes canceled.

    Close the generator to cancel the run before its end.

    Yields:
        The run's events, including failures.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed while no step was active.
        Canceled: the run was canceled in the UI.
    """
    job, key = job_of(table), dg.AssetKey(table)
    run_id, events = make_new_run_id(), None
    try:
        run = _recorded(job, key, partition, instance, tags, run_id)
        here = _alone(job.name, key, resources)
        # The console is silent here, but not when the UI starts the run again.
        silent = copy(run, run_config=_SILENT)
        events = execute_run_iterator(InMemoryJob(here), silent, instance)
        is_interrupted = False
        for event in events:
            is_interrupted |= interruption(event) is not None
            if interruption(event) and event.is_step_failure:
                instance.report_run_canceling(run)
            elif interruption(event) and event.is_job_failure:
                instance.report_run_canceled(run)
            yield event
            # Dagster defers a signal until the next step, and loses it after the last one.
            if check_captured_interrupt():
                raise KeyboardInterrupt
            if not is_interrupted and _is_canceled(instance, run_id):
                raise Canceled
    except (KeyboardInterrupt, GeneratorExit):
        _cancel(instance, run_id, events)
        raise


def _is_canceled(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in _CANCELED


def _cancel(
    instance: dg.DagsterInstance, run_id: str, events: Iterator[dg.DagsterEvent] | None
) -> None:
    """End a run as canceled, with its active step, unless it has finished."""
    run = instance.get_run_by_id(run_id)
    if run is None or (run.is_finished and run.status not in _CANCELED):
        return
    if run.status not in _CANCELED:
        instance.report_run_canceling(run)
    if events and threading.current_thread() is threading.main_thread():
        with suppress(KeyboardInterrupt):
            # Dagster defers this signal to the next step. Throwing into the generator instead
            # would print a traceback.
            signal.raise_signal(signal.SIGINT)
            if check_captured_interrupt():
                deque(events, maxlen=0)
    if (latest := instance.get_run_by_id(run_id)) and latest.status != dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(latest)


def _recorded(
    job: dg.JobDefinition,
    key: dg.AssetKey,
    partition: str,
    instance: dg.DagsterInstance,
    tags: Mapping[str, str],
    run_id: str,
) -> dg.DagsterRun:
    """Create a run of one asset and its checks; `create_run_for_job` does not support checks."""
    parts = definitions_of(key.to_user_string())
    of_checks = [it for it in parts if isinstance(it, dg.AssetChecksDefinition)]
    checks = frozenset(check for it in of_checks for check in it.check_keys)
    part = job.get_subset(asset_selection=frozenset([key]), asset_check_selection=checks)
    merged = merge_run_tags(job, partition, tags, [key], instance, run_config=None)
    plan = create_execution_plan(part, tags=merged)
    return instance.create_run(
        job_name=job.name,
        run_id=run_id,
        run_config=None,
        status=None,
        tags=merged,
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=plan.step_keys_to_execute,
        execution_plan_snapshot=snapshot_from_execution_plan(plan, part.get_job_snapshot_id()),
        job_snapshot=part.get_job_snapshot(),
        parent_job_snapshot=part.get_parent_job_snapshot(),
        asset_selection=frozenset([key]),
        asset_check_selection=checks,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=_repository().get_job_origin(job.name),
        job_code_origin=None,
        asset_graph=part.asset_layer.asset_graph,
    )


def definitions_of(table: str) -> list[Any]:
    """Only an asset and its checks: Dagster would need seconds to process all definitions."""
    key, defs = dg.AssetKey(table), definitions.load()
    of_asset = [it for it in defs.assets or () if isinstance(it, dg.AssetsDefinition)]
    of_checks = [it for it in defs.asset_checks or () if isinstance(it, dg.AssetChecksDefinition)]
    return [
        *(it for it in of_asset if it.key == key),
        *(it for it in of_checks if {check.asset_key for check in it.check_keys} == {key}),
    ]


def _alone(job: str, key: dg.AssetKey, resources: Mapping[str, object]) -> dg.JobDefinition:
    """A job of this name with one asset and these resources, which a real job would not accept."""
    is_implicit = job == IMPLICIT_ASSET_JOB_NAME
    defs = dg.Definitions(
        assets=definitions_of(key.to_user_string()),
        jobs=[] if is_implicit else [dg.define_asset_job(job, selection=[key])],
        resources=resources,
    )
    return defs.resolve_job_def(job).as_ephemeral_job(resource_defs={}, input_values={})


def interruption(event: dg.DagsterEvent) -> type[KeyboardInterrupt] | None:
    """The interruption of a step or run, if any; Dagster reports it as a normal failure."""
    error = getattr(event.event_specific_data, "error", None)
    return _INTERRUPTIONS.get(getattr(error, "cls_name", None) or "")


@dataclass
class Backfill:
    """An active backfill in Dagster's history."""

    instance: dg.DagsterInstance
    backfill_id: str
    has_failures: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its runs."""
        return {BACKFILL_ID_TAG: self.backfill_id}

    def raise_if_canceled(self) -> None:
        """Check whether it was canceled.

        Raises:
            Canceled: it was canceled in the UI.
        """
        found = self.instance.get_backfill(self.backfill_id)
        if found and found.status in (BulkActionStatus.CANCELING, BulkActionStatus.CANCELED):
            raise Canceled


@contextmanager
def backfill(
    table: str, partitions: Sequence[str], settings: Settings, instance: dg.DagsterInstance
) -> Generator[Backfill]:
    """Record a backfill for this block, and how it ended: the UI lists its runs under it."""
    job = job_of(table)
    has_partitions = job.name != IMPLICIT_ASSET_JOB_NAME
    name = partition_set_snap_name_for_job_name(job.name)
    backfill_id = make_new_backfill_id()
    recorded = PartitionBackfill(
        backfill_id,
        # This status means that all runs are requested: otherwise Dagster's daemon would start
        # them.
        BulkActionStatus.COMPLETED,
        from_failure=False,
        tags=tags_of(table, settings) | process_tag(instance, backfill_id, settings.redis_url),
        backfill_timestamp=time.time(),
        asset_selection=[dg.AssetKey(table)],
        partition_set_origin=RemotePartitionSetOrigin(
            repository_origin=_repository(), partition_set_name=name
        )
        if has_partitions
        else None,
        partition_names=partitions,
    )
    at_work = Backfill(instance, backfill_id)
    status = BulkActionStatus.CANCELED
    try:
        instance.add_backfill(recorded)
        yield at_work
        failed = at_work.has_failures
        status = BulkActionStatus.COMPLETED_FAILED if failed else BulkActionStatus.COMPLETED_SUCCESS
    except KISError as error:
        status = BulkActionStatus.FAILED
        why = SerializableErrorInfo(str(error), [], type(error).__name__)
        recorded = recorded.with_error(why)
        raise
    finally:
        if instance.get_backfill(backfill_id):
            ended = recorded.with_status(status).with_end_timestamp(time.time())
            instance.update_backfill(ended)


_CANCELED = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
_INTERRUPTIONS = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "DagsterExecutionInterruptedError": KeyboardInterrupt,
    "Canceled": Canceled,
}


def _repository() -> RemoteRepositoryOrigin:
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=LOCATION)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteRepositoryOrigin(location, definitions.load().get_repository_def().name)

"""The assets run in this process, one partition after another, without a server or a daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock

from kis_assets import definitions
from kis_assets.defs.availability import live_session, master_day
from kis_assets.defs.orphans import limit_pools
from kis_assets.defs.resources import resources_of
from kis_assets.errors import InvalidRequest
from kis_assets.exchange import finality
from kis_assets.execution import history
from kis_assets.execution.dagster_home import INSTANCE, check_own, failures, is_earlier, opened
from kis_assets.lake.closed_days import closed_before
from kis_assets.lake.lake import Lake
from kis_assets.security.ownership import put
from kis_assets.settings import Settings
from kis_assets.tables import TABLES
from kis_assets.transport.fan_out import Progress

_MAKING = 60.0
"""Longest wait, in seconds, for another process that makes Dagster's databases."""


@dataclass
class Outcome:
    """What became of one asset's partition."""

    table: str
    partition: str
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
    is_refused: bool = False
    """Whether the error says all there is to say: what was asked for cannot be had."""
    checks: dict[str, bool] = field(default_factory=dict[str, bool])
    warnings: list[str] = field(default_factory=list[str])


def home(settings: Settings) -> Path:
    """DAGSTER_HOME, as set or `data/dagster`, made and configured when it is new.

    One process makes it and the others wait: Dagster's databases do not stand being made by two.

    Raises:
        HomeFailed: it cannot be made, Dagster cannot use it, or it is not to be trusted.
    """
    folder = settings.dagster_home
    with failures(folder):
        if settings.names_dagster_home:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        else:
            check_own(folder)
        config = folder / "dagster.yaml"
        with FileLock(folder / "made.lock", timeout=_MAKING):
            if not config.exists() or is_earlier(config):
                put(config, INSTANCE.encode())
            is_new = not (folder / "history" / "runs.db").exists()
            with opened(folder) as instance:
                if is_new:
                    limit_pools(instance, len(settings.credentials))
    return folder


def partition_of(table: str, day: date) -> str:
    """The partition of a table that holds a day.

    Raises:
        ValueError: there is no such table, or it has no day as early as that.
    """
    graph = definitions.load().resolve_asset_graph()
    if (key := dg.AssetKey(table)) not in graph.materializable_asset_keys:
        made = sorted(key.to_user_string() for key in graph.materializable_asset_keys)
        raise ValueError(f"there is no table {table!r} to fetch; there are {', '.join(made)}")
    partitions = graph.get(key).partitions_def
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        first = partitions.start.date()
        if day < first:
            raise ValueError(f"{table} has no days before {first}, such as {day}: see --table")
    return TABLES[table].partition_key(day) if table in TABLES else day.isoformat()


def run_day(
    day: date,
    instance: dg.DagsterInstance,
    settings: Settings,
    tables: Sequence[str],
    *,
    starting: Callable[[str, str], None] = lambda _table, _partition: None,
    progress: Progress | None = None,
    ended: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Fetch, check and store the partitions of these tables that hold a day, in this order.

    A failure of one asset stops no other.

    Raises:
        ValueError: there is no such table.
    """
    partitions = [(table, partition_of(table, day)) for table in tables]
    outcomes: list[Outcome] = []
    for table, partition in partitions:
        starting(table, partition)
        outcomes.append(materialize(table, partition, instance, settings, progress))
        ended(outcomes[-1])
    return outcomes


def unavailable(tables: Sequence[str], day: date, settings: Settings, lake: Lake) -> dict[str, str]:
    """Those of the tables that cannot be fetched now for a day, and why.

    Between midnight and the open quotes may be reset already, and from 07:30 on the master files
    tell of the session to come. Of a month's first session no figures are published before the
    next one.
    """
    found: dict[str, str] = {}
    for table in tables:
        try:
            if TABLES[table].final == "published":
                settled = finality.newest_settled_day(
                    settings.now(),
                    TABLES[table].published_after,
                    closed_before(lake, settings.now()),
                )
                if settled < day.replace(day=1):
                    found[table] = (
                        f"nothing of {day:%Y-%m} is published yet; figures of a session come on "
                        "the morning of the next one"
                    )
            elif TABLES[table].live == "quotes":
                live_session(day.isoformat(), settings.now(), lake, settings.kis_venue)
            elif TABLES[table].live == "files":
                master_day(day.isoformat(), settings.now(), settings)
        except InvalidRequest as error:
            found[table] = str(error)
    return found


def materialize(
    table: str,
    partition: str,
    instance: dg.DagsterInstance,
    settings: Settings,
    progress: Progress | None = None,
    tags: Mapping[str, str] | None = None,
) -> Outcome:
    """Materialize and check one partition of one asset; what goes wrong is in the outcome.

    `tags` are put on the run beside those that every run has.

    Raises:
        KeyboardInterrupt: it was ended by Ctrl-C, or (`Canceled`) in the UI.
    """
    outcome = Outcome(table, partition)
    resources = {**(definitions.load().resources or {}), **resources_of(settings, progress)}
    all_tags = history.tags_of(table, settings) | dict(tags or {})
    interruption: type[KeyboardInterrupt] | None = None
    has_ended = False
    with closing(history.execute(table, partition, instance, resources, all_tags)) as events:
        for event in events:
            interruption = interruption or history.interruption(event)
            has_ended |= event.is_job_success
            if event.is_step_failure and not outcome.error:
                outcome.error = _sentence(event.step_failure_data)
                outcome.is_refused = _is_refused(event.step_failure_data)
            elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
                metadata = event.step_materialization_data.materialization.metadata
                outcome.metadata = {name: value.value for name, value in metadata.items()}
            elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                check = event.asset_check_evaluation_data
                outcome.checks[check.check_name] = check.passed
                if not check.passed and check.severity == dg.AssetCheckSeverity.WARN:
                    outcome.warnings.append(check.check_name)
    if interruption:
        raise interruption
    if not has_ended and not outcome.error:
        outcome.error = "the run failed before a step began; see the Dagster UI"
    return outcome


def _is_refused(failure: Any) -> bool:
    told = failure.user_failure_data
    kind = told and told.metadata.get("error")
    return kind is not None and kind.value == InvalidRequest.__name__


def _sentence(failure: Any) -> str:
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error.cause or failure.error
    return str(error.message).strip()

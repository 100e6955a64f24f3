"""Runs assets in this process, one partition after another, without a server or a daemon."""

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
"""The maximum time, in seconds, to wait for another process that creates Dagster's databases."""


@dataclass
class Outcome:
    """The outcome of one partition of an asset."""

    table: str
    partition: str
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""
    is_refused: bool = False
    """Whether the request was refused because the data is not available, so `doctor` cannot
    help."""
    checks: dict[str, bool] = field(default_factory=dict[str, bool])
    warnings: list[str] = field(default_factory=list[str])


def home(settings: Settings) -> Path:
    """DAGSTER_HOME, as set or `data/dagster`; created and configured if it is new.

    One process creates it and others wait: two processes would damage Dagster's databases.

    Raises:
        HomeFailed: it cannot be created, Dagster cannot use it, or it cannot be trusted.
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
    """The key of a table's partition that contains a day.

    Raises:
        ValueError: there is no such table, or it has no day this early.
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
    """Fetch, check and store the partitions of these tables that contain a day, in this order.

    A failure of one asset does not stop the others.

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
    """The tables that cannot be fetched now for a day, with the reasons.

    Between midnight and the open, quotes may already be reset. From 07:30 on, the master files are
    of the next session. Until the session after a month's first one, no figures of the month are
    published.
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
                        f"nothing of {day:%Y-%m} is published yet; figures of a session are "
                        "published on the morning of the next one"
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
    """Materialize and check one partition of one asset; the outcome contains any error.

    `tags` are added to the usual tags of the run.

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
    data = failure.user_failure_data
    kind = data and data.metadata.get("error")
    return kind is not None and kind.value == InvalidRequest.__name__


def _sentence(failure: Any) -> str:
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error.cause or failure.error
    return str(error.message).strip()

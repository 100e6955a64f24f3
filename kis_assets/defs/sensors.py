"""The sensors: they fetch missed days, end dead runs, and report failures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg

from kis_assets.defs import orphans
from kis_assets.defs.jobs import JOBS, assets_of_job, running
from kis_assets.defs.resources import open_lake
from kis_assets.defs.schedules import CATCH_UP, evening_of
from kis_assets.exchange import calendar, finality
from kis_assets.krx import publication
from kis_assets.lake.closed_days import closed_before, closed_by_kis
from kis_assets.lake.lake import Lake
from kis_assets.monitoring.alerts import report_failure
from kis_assets.settings import Settings
from kis_assets.tables import MARKET_DAYS, TABLES, Table

LOOKED_BACK = 10
"""The number of latest sessions whose missing or degraded partitions are fetched again."""
GRACE = timedelta(hours=1)
"""How long the evening's schedules have for a session before this sensor looks at it."""
AT_ONCE = 5
"""The maximum number of its runs that are queued or active, so that the queue stays short."""
_TAG = "kis_assets/catch_up"
_LOADED_AT = time.time()


# First tables that the source keeps for a limited time; KRX's own tables come later.
CAUGHT_UP = sorted(
    (table for table in TABLES.values() if table.catch_up),
    key=lambda table: (not table.sessions_kept, table.own_source, table.is_current_only),
)
_KEPT = max(table.sessions_kept for table in CAUGHT_UP)

Missed = tuple[Table, str]
"""A table and the key of its partition."""


def missed(lake: Lake, settings: Settings, now: datetime) -> tuple[date | None, list[Missed]]:
    """The missing partitions that are still available, in the order to fetch them.

    Returns:
        The newest session whose schedules are over, and the missing partitions. A table without any
        stored row has at most that session, and only with `KIS_SCHEDULES=on`.
    """
    sessions = _open_sessions(lake, now)
    over = [day for day in sessions if _is_over(day, settings, now)]
    if not over:
        return None, []
    known = _conditions(lake)
    is_krx = settings.source_type == "krx"
    has_key = bool(settings.krx_api_key.get_secret_value())
    of_krx = settings.named("krx")
    beside = Lake(settings.kis_data_dir / of_krx, source=of_krx)
    if has_key and beside.folder.exists():
        found = _conditions(beside)
        known |= {it.name: found.get(it.name, {}) for it in CAUGHT_UP if it.own_source}
    missing: dict[Missed, None] = {}
    for table in CAUGHT_UP:
        if not (has_key if table.own_source else settings.source_type in table.sources):
            continue
        if settings.is_virtual and table.on_virtual == "lacking":
            continue
        conditions = known.get(table.name, {})
        if not conditions:
            days = over[-1:] if settings.kis_schedules else []
        elif table.is_current_only:
            days = _unknown_now(table, conditions, over[-1])
        else:
            kept = set(sessions[-_kept(table, settings) :])
            days = [day for day in over if day in kept and _is_missing(day, conditions, over)]
            # Provisional rows are fetched again after the morning's schedules had time for it.
            if table.final == "next_morning":
                then = now - finality.REFETCHED_AFTER
                final = finality.newest_final_day(then, closed_before(lake, then))
                days = [day for day in days if conditions.get(day) != "pending" or day <= final]
            if table.final == "published":
                settled = finality.newest_settled_day(
                    now - finality.REFETCHED_AFTER, table.published_after, closed_before(lake, now)
                )
                days = [day for day in days if day <= settled]
        if is_krx or table.own_source:
            days = [day for day in days if day <= publication.newest(now)]
        keys = [table.partition_key(day) for day in days]
        if table.is_current_only:  # past partitions are not available
            keys = [key for key in keys if key == table.partition_key(now.date())]
        missing |= {(table, key): None for key in keys}
    return over[-1], list(missing)


def _open_sessions(lake: Lake, now: datetime) -> list[date]:
    """The sessions for which KIS still has minutes, oldest first, without days that KIS closed."""
    latest = calendar.latest_session(now).day
    days = calendar.trading_days(latest - timedelta(days=2 * _KEPT), latest)[-_KEPT:]
    closed = closed_by_kis(lake, days[0], latest)
    return [day for day in days if day not in closed]


def _is_over(day: date, settings: Settings, now: datetime) -> bool:
    session = calendar.session(day)
    return session is not None and (
        now >= evening_of(session, settings.kis_schedule_evening) + GRACE
    )


def _conditions(lake: Lake) -> dict[str, dict[date, str]]:
    """The rows of `dataset_condition` by table and day. A stored calendar day is available."""
    rows = lake.read("SELECT table_name, trading_day, condition FROM dataset_condition")
    found: dict[str, dict[date, str]] = {}
    for name, day, condition in rows.iter_rows():
        found.setdefault(name, {})[day] = condition
    days = lake.scan(MARKET_DAYS).select("day").collect()["day"]
    if len(days):
        found[MARKET_DAYS.name] = dict.fromkeys(days, "available")
    return found


def _is_missing(day: date, conditions: dict[date, str], over: list[date]) -> bool:
    if day < min(conditions):
        return False
    # For a year without a stored calendar, the view has only days with stored rows.
    condition = conditions.get(day, "missing")
    return condition == "missing" or (condition != "available" and day in over[-LOOKED_BACK:])


def _unknown_now(table: Table, conditions: dict[date, str], last: date) -> list[date]:
    """The last session, if nothing of its partition is stored."""
    key = table.partition_key(last)
    same = [it for day, it in conditions.items() if table.partition_key(day) == key]
    return [] if set(same) - {"missing", "pending"} else [last]


def _kept(table: Table, settings: Settings) -> int:
    """For how many sessions a missing day is fetched."""
    # The virtual server has only the latest session of such tables.
    return 1 if settings.is_virtual and table.sessions_kept else table.sessions_kept or LOOKED_BACK


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors for Dagster. The last one always runs; the others with `KIS_SCHEDULES=on`."""
    status = (
        dg.DefaultSensorStatus.RUNNING if settings.kis_schedules else dg.DefaultSensorStatus.STOPPED
    )

    @dg.sensor(
        jobs=[job for job in JOBS if job.name in {table.catch_up for table in CAUGHT_UP}],
        minimum_interval_seconds=600,
        default_status=status,
        description="Fetches missed partitions that are still available, each once per evening, "
        "minute candles first. Its runs have the lowest priority in the queue.",
    )
    def catch_up(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        evening, found = missed(open_lake(settings), settings, calendar.now())
        before = json.loads(context.cursor) if context.cursor else {}
        asked = before["asked"] if before.get("evening") == str(evening) else []
        # One run of a job makes all tables of the job.
        by_run = {_name(it): it for it in reversed(found)}
        left = [it for it in found if by_run[_name(it)] == it and _name(it) not in asked]
        if not left:
            return dg.SkipReason(
                "nothing is missing" if not found else "all requested this evening"
            )
        at_work = running(context.instance)
        places = AT_ONCE - sum(_TAG in run.tags for run in at_work)
        taken = [it for it in left if not _is_running(it, at_work)][: max(0, places)]
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    job_name=table.catch_up,
                    partition_key=key,
                    run_key=f"catch_up-{evening}-{table.catch_up}-{key}",
                    asset_selection=assets_of_job(table.catch_up, settings),
                    tags={_TAG: str(evening), "dagster/priority": str(CATCH_UP)},
                )
                for table, key in taken
            ],
            cursor=json.dumps(
                {"evening": str(evening), "asked": [*asked, *(_name(it) for it in taken)]}
            ),
        )

    @dg.run_failure_sensor(
        default_status=status,
        description="Reports each failed run once: in the log and to KIS_FAILURE_WEBHOOK_URL.",
    )
    def failures(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        partition = run.tags.get("dagster/partition", "")
        why = next(_reasons(context), context.failure_event.message or "")
        report_failure(settings, f"{run.job_name} {partition}".strip(), why, run.run_id)

    @dg.sensor(
        minimum_interval_seconds=15 if settings.redis_url else 30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends runs and typed backfills whose process was killed or whose machine went "
        "down. Such runs would block their pool forever. Leave it on.",
    )
    def orphaned_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        orphans.limit_pools(context.instance, len(settings.credentials))
        origin = context.code_location_origin
        location, redis_url = origin and origin.location_name, settings.redis_url
        ended = orphans.end(context.instance, location, _LOADED_AT, redis_url)
        return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "every run is alive")

    return [catch_up, failures, orphaned_runs]


def _name(missed: Missed) -> str:
    """The run that makes it, as job and partition."""
    return f"{missed[0].catch_up} {missed[1]}"


def _is_running(missed: Missed, running: list[dg.DagsterRun]) -> bool:
    """Whether an active run makes this partition: a run of the job, or one that a user started."""
    table, key = missed
    return any(
        run.tags.get("dagster/partition") == key
        and (
            run.job_name == table.catch_up
            or dg.AssetKey(table.name) in (run.asset_selection or frozenset())
        )
        for run in running
    )


def _reasons(context: dg.RunFailureSensorContext) -> Iterator[str]:
    """The error messages of the failed steps, in their order."""
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            yield data.user_failure_data.description
        elif data.error is not None:
            yield (data.error.cause or data.error).message

"""When jobs run.

Each schedule is one entry of `plans`. Its times follow the session of the day: they move if the
session begins or ends late.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import dagster as dg

from kis_assets.defs.availability import refuse_closed
from kis_assets.defs.jobs import (
    TABLES_OF_JOB,
    assets_of_job,
    cache_warming,
    corporate_action_ingestion,
    credit_ingestion,
    daily_candle_ingestion,
    daily_price_ingestion,
    evening_report,
    flow_ingestion,
    freshness,
    fund_ingestion,
    krx_ingestion,
    lake_maintenance,
    lakehouse_publication,
    market_calendar,
    market_figure_ingestion,
    minute_candle_ingestion,
    order_book_capture,
    price_adjustment,
    price_capture,
    reference_ingestion,
    running,
    statement_ingestion,
    stock_master_ingestion,
    tick_compaction,
    valuation_capture,
)
from kis_assets.defs.resources import open_lake
from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar, venues
from kis_assets.lake.closed_days import previous_session
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, Unit, partition_key
from kis_assets.ticks.journal import Journal


@dataclass(frozen=True)
class Moments:
    """When to run on a trading day: the ticks of `cron` in Seoul that are `due` in its session.

    If Dagster was down and reaches a tick later than `valid_for`, the tick is skipped. None: ticks
    stay valid until the end of the day.
    """

    cron: tuple[str, ...]
    description: str
    due: Callable[[calendar.Session, datetime], bool] = lambda _session, _tick: True
    valid_for: timedelta | None = None


def at(*moments: time) -> Moments:
    """At these times of the day, independent of the session."""
    cron = tuple(f"{moment.minute} {moment.hour} * * 1-5" for moment in moments)
    return Moments(cron, "at " + ", ".join(f"{moment:%H:%M}" for moment in moments))


def in_session(minutes: int) -> Moments:
    """Every `minutes` between the open and the close, excluding both, when little is traded."""
    return Moments(
        (f"{'0' if minutes == 60 else f'*/{minutes}'} 7-16 * * 1-5",),
        f"every {minutes} minutes of the session",
        lambda session, tick: session.opens_at < tick < session.closes_at,
        timedelta(minutes=minutes),
    )


AFTER = timedelta(minutes=15)
"""How long after the close the official prices are captured. By then the closing auction is over,
and the after-market has not opened."""


def after_close() -> Moments:
    """Once, between the closing auction and the after-market."""
    return Moments(
        ("45 15,16 * * 1-5",),
        f"{AFTER.seconds // 60} minutes after the close",
        lambda session, tick: tick == session.closes_at + AFTER,
        calendar.CLOSING_PRICE - AFTER,
    )


def late_candles(*moments: time) -> Moments:
    """At these times of the morning, and when trading at the closing price has ended."""
    morning = at(*moments)
    return Moments(
        (*morning.cron, "0 16,17 * * 1-5"),
        f"{morning.description} and half an hour after the close",
        lambda session, tick: tick < session.opens_at or tick == session.closing_price_until,
    )


def evening(moment: time) -> Moments:
    """In the evening; an hour later if the session ended an hour late."""
    return Moments(
        (f"{moment.minute} {moment.hour},{moment.hour + 1} * * 1-5",),
        f"at {moment:%H:%M}, or later if the session ended later",
        lambda session, tick: tick == evening_of(session, moment),
    )


def evening_of(session: calendar.Session, moment: time) -> datetime:
    """This time in the evening of a session, moved if its close is late."""
    return datetime.combine(session.day, moment, calendar.SEOUL) + session.late_by


FIGURES_AT = time(7, 45)
"""When flows, short sales and loans of the day before are published: see `finality.SETTLED_BY`."""
PUBLISHED = time(8, 30)
"""When KRX's figures of the day before are available; KRX states 08:00."""
PUBLISHED_LATE = (time(8, 45), time(9, 10), time(10, 10))
"""When KRX's figures are requested again if they were not available."""
TICKS_AT = time(20, 15)
"""When the recorded stream is stored; its last record arrives at 20:00."""
MAINTENANCE_AT = time(6, 30)
"""When the lake is maintained: before the first job of the morning."""
CALENDAR_BEFORE = timedelta(minutes=10)
"""How long before the morning's candles KIS's calendar is requested."""
CANDLES_LATE = (time(8, 10), time(8, 40))
"""When candles are fetched again that KIS had not corrected during the night."""
FRESHNESS_AT = (time(10, 30), time(23, 30))
"""When the freshness of the tables is checked: everything is due by then."""
BROUGHT_OVER_AT = (time(9, 20), time(23, 0))
"""When unpublished partitions are published: after the morning's final rows, and the evening's."""
REPORT_AGAIN = time(8, 50)
"""When the report of the day before is made again, with final candles."""
REPORT_AFTER = timedelta(minutes=50)
"""How long after the evening's first jobs the jobs run that read their rows."""

CAPTURE, USUAL, CATCH_UP = 10, 0, -10
"""Priorities in Dagster's queue: data that is not available later comes first."""


AlreadyDone = Callable[[Lake, date], str]
"""The reason why a day needs no run, from stored rows; empty if it needs one."""


def all_final(lake: Lake, day: date) -> str:
    """The reason why the candles of a day need not be fetched again."""
    rows = lake.scan(DAILY_CANDLES, first=day, last=day).select("is_final").collect()
    is_done = not rows.is_empty() and rows["is_final"].all()
    return f"all candles of {day} are final" if is_done else ""


def krx_is_there(lake: Lake, day: date) -> str:
    """The reason why KRX's figures of a day need not be fetched again."""
    name = venues.krx_beside(lake.source)
    beside = Lake(lake.folder.parent / name, source=name)
    rows = beside.scan(KRX_DAILY, first=day, last=day).select("stock_code").collect()
    return "" if rows.is_empty() else f"KRX's figures of {day} are stored"


def nothing_was_recorded(lake: Lake, day: date) -> str:
    """The reason why no stream of a day can be stored."""
    journal = Journal(lake.folder, day)
    return "" if journal.path.exists() else f"nothing was recorded on {day}"


@dataclass(frozen=True)
class Plan:
    """A schedule: a job, when it runs, and the kind of its partition, if it has any.

    `sessions_back` chooses the partition of an earlier session: that many sessions before the day.
    """

    name: str
    job: Any
    moments: Moments
    partition: Unit | None = None
    priority: int = USUAL
    sessions_back: int = 0
    already_done: AlreadyDone | None = None


def plans(settings: Settings) -> list[Plan]:
    """All schedules, ordered by time of day."""
    every = settings.kis_schedule_capture_minutes
    morning, warm = at(settings.kis_schedule_morning), at(settings.kis_schedule_warm)
    over = settings.kis_schedule_evening
    report = (datetime.combine(calendar.FIRST_DAY, over) + REPORT_AFTER).time()
    candles = settings.kis_schedule_candles
    calendar_at = datetime.combine(calendar.FIRST_DAY, candles) - CALENDAR_BEFORE
    found = [
        # KIS corrected candles last night only if there is a session today.
        Plan("calendar_morning", market_calendar, at(calendar_at.time()), "year"),
        # Since last night the close of the day before is the regular session's; see `finality`.
        Plan("candles_morning", daily_candle_ingestion, at(candles), "month", sessions_back=1),
        Plan(
            "candles_late",
            daily_candle_ingestion,
            late_candles(*CANDLES_LATE),
            "month",
            sessions_back=1,
            already_done=all_final,
        ),
        Plan("master_morning", stock_master_ingestion, morning, "day"),
        Plan("reference_morning", reference_ingestion, morning, "month"),
        Plan("cache_morning", cache_warming, warm),
        # Published overnight. Flows of 2,500 stocks take ten minutes at 18 requests per second.
        Plan(
            "market_figures_morning",
            market_figure_ingestion,
            at(FIGURES_AT),
            "month",
            sessions_back=1,
        ),
        Plan("flows_morning", flow_ingestion, at(FIGURES_AT), "month", sessions_back=1),
        Plan("credit_morning", credit_ingestion, at(FIGURES_AT), "month", sessions_back=3),
        Plan("funds_morning", fund_ingestion, at(FIGURES_AT), "month", sessions_back=1),
        Plan("prices_session", price_capture, in_session(every), "day", CAPTURE),
        Plan("books_session", order_book_capture, in_session(every), "day", CAPTURE),
        # The official prices of the day.
        Plan("prices_close", daily_price_ingestion, after_close(), "day", CAPTURE),
        Plan("valuations_close", valuation_capture, after_close(), "day", CAPTURE),
        # Trading ends at 20:00: then the volume is final, and the close is provisional.
        Plan("prices_evening", daily_price_ingestion, evening(over), "day", CAPTURE),
        Plan(
            "ticks_evening",
            tick_compaction,
            evening(TICKS_AT),
            "day",
            already_done=nothing_was_recorded,
        ),
        Plan("candles_evening", daily_candle_ingestion, evening(over), "month"),
        Plan("minutes_evening", minute_candle_ingestion, evening(over), "day"),
        Plan("actions_evening", corporate_action_ingestion, evening(report), "month"),
        # Companies that were fetched this month are skipped.
        Plan("statements_evening", statement_ingestion, evening(report), "month"),
        Plan("report_evening", evening_report, evening(report), "day"),
        # The year of the candles that became final this morning: a new year has none yet.
        Plan("factors_morning", price_adjustment, at(REPORT_AGAIN), "year", sessions_back=1),
        Plan("report_morning", evening_report, at(REPORT_AGAIN), "day", sessions_back=1),
    ]
    if settings.source_type == "krx":
        # Everything that KRX publishes, after it did.
        found = [
            Plan("calendar_morning", market_calendar, morning, "year"),
            Plan("master_morning", stock_master_ingestion, at(PUBLISHED), "day", sessions_back=1),
            Plan(
                "candles_morning", daily_candle_ingestion, at(PUBLISHED), "month", sessions_back=1
            ),
            Plan("reference_morning", reference_ingestion, at(PUBLISHED), "month"),
        ]
    found.insert(0, Plan("maintenance_morning", lake_maintenance, at(MAINTENANCE_AT)))
    if settings.kis_lake_url is not None:
        found.append(Plan("lakehouse_published", lakehouse_publication, at(*BROUGHT_OVER_AT)))
    found.append(Plan("freshness_checked", freshness, at(*FRESHNESS_AT)))
    if settings.krx_api_key.get_secret_value():
        found += [
            Plan("krx_morning", krx_ingestion, at(PUBLISHED), "day", sessions_back=1),
            Plan(
                "krx_late",
                krx_ingestion,
                at(*PUBLISHED_LATE),
                "day",
                sessions_back=1,
                already_done=krx_is_there,
            ),
        ]
    return [plan for plan in found if assets_of_job(plan.job.name, settings) != []]


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules for Dagster; with `KIS_SCHEDULES=on` they run from the start."""
    return [_schedule(plan, settings) for plan in plans(settings)]


def schedule_descriptions(settings: Settings) -> dict[str, str]:
    """When the schedules of each asset really run: not every tick of their cron lines is used."""
    said: dict[str, list[str]] = {}
    for plan in plans(settings):
        for asset in TABLES_OF_JOB.get(plan.job.name, ()):
            of = {0: "", 1: ", of the session before"}.get(
                plan.sessions_back, f", of {plan.sessions_back} sessions before"
            )
            said.setdefault(asset, []).append(f"{plan.name}: {plan.moments.description}{of}")
    return {asset: "; ".join(moments) for asset, moments in said.items()}


def _schedule(plan: Plan, settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=plan.name,
        job=plan.job,
        cron_schedule=list(plan.moments.cron),
        execution_timezone="Asia/Seoul",
        default_status=dg.DefaultScheduleStatus.RUNNING
        if settings.kis_schedules
        else dg.DefaultScheduleStatus.STOPPED,
        description=f"{plan.job.name} {plan.moments.description} in Seoul, on trading days of KRX",
    )
    def _evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        tick, lake = (
            context.scheduled_execution_time.astimezone(calendar.SEOUL),
            open_lake(settings),
        )
        day = tick.date()
        if reason := _skip(plan, tick, lake):
            return dg.SkipReason(reason)
        for _ in range(plan.sessions_back):
            day = previous_session(lake, day)
        key = partition_key(plan.partition, day) if plan.partition else None
        if plan.already_done is not None:
            if reason := plan.already_done(lake, day):
                return dg.SkipReason(reason)
            if any(_is_at_work(run, plan.job.name, key) for run in running(context.instance)):
                return dg.SkipReason(f"a run of {plan.job.name} for {key} is active")
        return dg.RunRequest(
            run_key=f"{plan.name}-{tick:%Y-%m-%dT%H:%M}",
            partition_key=key,
            asset_selection=assets_of_job(plan.job.name, settings),
            tags={"dagster/priority": str(plan.priority)},
        )

    return _evaluate


def _skip(plan: Plan, tick: datetime, lake: Lake) -> str:
    """The reason why a tick is skipped; empty if it is not."""
    day, now = tick.date(), calendar.now()
    session = calendar.session(day)
    if session is None:
        return f"{day} is not a trading day of KRX"
    if not plan.moments.due(session, tick):
        return f"not at {tick:%H:%M}: the session of {day} is from {session.opens_at:%H:%M} to " + (
            f"{session.closes_at:%H:%M}"
        )
    valid_for = plan.moments.valid_for
    if now.date() > day or (valid_for is not None and now - tick >= valid_for):
        return f"Dagster was not running at {tick:%H:%M} on {day}; catch_up fetches what it can"
    try:
        refuse_closed(lake, day)
    except InvalidRequest as reason:
        return str(reason)
    return ""


def _is_at_work(run: dg.DagsterRun, job: str, key: str | None) -> bool:
    return run.job_name == job and run.tags.get("dagster/partition") == key

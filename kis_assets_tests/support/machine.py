"""A machine with a clock: its schedules and its sensor, tick by tick, and what they ask for.

Runs are not made unless a test gives a way to: what they leave in the lake is written instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import takewhile

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from kis_assets.defs.resources import open_lake
from kis_assets.defs.schedules import schedules
from kis_assets.defs.sensors import sensors
from kis_assets.exchange import calendar, finality
from kis_assets.lake.lake import Scope
from kis_assets.lake.quality import account, record
from kis_assets.settings import Settings
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, TABLES, Table
from kis_assets_tests.support.small_rows import based, frame

Asked = tuple[str, str, str]
"""When, which job, which partition."""


class Machine:
    """The clock, Dagster's ticks and what its runs leave behind.

    `fails` are the runs that come to nothing; `make` makes a run instead of writing what it leaves.
    """

    def __init__(self, settings: Settings, now: datetime) -> None:
        self.now = now
        self.lake, self._reader = open_lake(settings), open_lake(settings)
        vars(self.lake)["now"] = lambda: self.now
        # What is written is published when the sensor looks: that takes most of the time.
        vars(self.lake)["publish"] = lambda **_: None
        self.schedules = schedules(settings)
        self.catch_up = sensors(settings)[0]
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None
        self.asked: list[Asked] = []
        self.fails: list[Asked] = []
        self.make: Callable[[str, str], None] = self._leave
        self._is_news = True

    def walk(
        self,
        first: datetime,
        last: datetime,
        looks: tuple[str, ...] = (),
        off: tuple[datetime, datetime] | None = None,
    ) -> None:
        """Every tick of the schedules from one moment to another, and the sensor at those times.

        While the machine is `off` nothing happens; then Dagster goes through the ticks it missed.
        """
        events: list[tuple[datetime, int, dg.ScheduleDefinition | None]] = [
            (at, number, schedule)
            for number, schedule in enumerate(self.schedules)
            for at in ticks(schedule, first, last)
        ]
        for offset in range((last - first).days + 1):
            for clock in looks:
                day = (first + timedelta(days=offset)).date()
                at = datetime.fromisoformat(f"{day}T{clock}:00+09:00")
                if first <= at < last:
                    events.append((at, 99, None))
        missed: dict[str, list[datetime]] = {}
        for at, _, schedule in sorted(events, key=lambda event: event[:2]):
            if off is not None and off[0] <= at < off[1]:
                if schedule is not None:
                    missed.setdefault(schedule.name, []).append(at)
                continue
            if off is not None and at >= off[1] and missed:
                # Dagster goes through the newest ticks that it has missed when it is back.
                self.now = off[1]
                for late in self.schedules:
                    for tick in missed.get(late.name, [])[-5:]:
                        self.tick(late, tick)
                missed.clear()
            self.now = at
            if schedule is None:
                self.look()
            else:
                self.tick(schedule, at)

    def tick(self, schedule: dg.ScheduleDefinition, at: datetime) -> None:
        """Dagster evaluates a tick of a schedule, now."""
        with dg.build_schedule_context(scheduled_execution_time=at) as context:
            # It takes none that is in memory, which is all that is needed here.
            context._instance = context._instance_ref = self.instance  # type: ignore[assignment]
            found = schedule(context)
        if isinstance(found, dg.RunRequest):
            self._run(schedule.job_name, found)

    def look(self) -> None:
        """Dagster evaluates the sensor, now."""
        if self._is_news:
            self._reader.publish()
            self._is_news = False
        with dg.build_sensor_context(self.instance, self.cursor) as context:
            found = self.catch_up(context)
        if isinstance(found, dg.SensorResult):
            self.cursor = found.cursor
            for request in found.run_requests or ():
                assert request.job_name is not None
                self._run(request.job_name, request)

    def _run(self, job: str, request: dg.RunRequest) -> None:
        key = request.partition_key or ""
        asked = (f"{self.now:%d %H:%M}", job, key)
        self.asked.append(asked)
        if asked not in self.fails:
            self.make(job, key)
            self._is_news = True

    def _leave(self, job: str, key: str) -> None:
        for table in TABLES.values():
            if table.catch_up == job and not table.own_source and table is not MARKET_DAYS:
                self._leave_of(table, date.fromisoformat(key))

    def _leave_of(self, table: Table, day: date) -> None:
        last = min(calendar.latest_session(self.now).day, table.span(table.partition_key(day))[1])
        if table.final == "published":
            last = min(last, finality.newest_settled_day(self.now, table.published_after))
        days = calendar.trading_days(day, last) if day <= last else []
        record(self.lake, table, [account(dict.fromkeys(days, 10), {}, {})])
        if table is DAILY_CANDLES:
            rows = [based(it, 9, 9, is_final=finality.is_final(it, self.now)) for it in days]
            frame_of_days = frame(DAILY_CANDLES, *rows, source=self.lake.source)
            self.lake.replace(DAILY_CANDLES, Scope.month(day), frame_of_days)


def ticks(schedule: dg.ScheduleDefinition, first: datetime, last: datetime) -> Iterator[datetime]:
    """The ticks of a schedule from one moment to another."""
    crons = schedule.cron_schedule
    for cron in [crons] if isinstance(crons, str) else crons:
        times = cron_string_iterator(first.timestamp(), cron, schedule.execution_timezone)
        yield from takewhile(lambda at: at < last, times)

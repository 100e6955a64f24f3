"""Metrics of what is stored: which tables are final, how late a capture is, the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from kis_assets.exchange import calendar, finality
from kis_assets.lake.closed_days import closed_before
from kis_assets.lake.lake import Lake, LakeError
from kis_assets.settings import Settings
from kis_assets.tables import ORDER_BOOKS, PRICE_SNAPSHOTS, TABLES

CAPTURED = (PRICE_SNAPSHOTS, ORDER_BOOKS)
"""What is captured again and again while a session runs."""
LOOK_BACK = timedelta(days=31)
"""How far back a day may lie that should be final: three sessions and the longest holidays."""
_CONDITIONS = """
SELECT table_name, trading_day, condition
FROM dataset_condition
WHERE trading_day >= ?
"""


def families(settings: Settings) -> Iterator[Any]:
    """Gauges of the lake and of its disk; what cannot be read has none."""
    from prometheus_client.core import GaugeMetricFamily

    final = GaugeMetricFamily(
        "kis_table_final",
        "1 when the newest session that can be final is stored, final and not degraded, else 0; "
        "from 06:00 on that is the day before. Tables without any stored row are left out, and "
        "tables of ticks of which that day has no recorded row",
        labels=["table"],
    )
    late = GaugeMetricFamily(
        "kis_capture_late_seconds",
        "How long ago the next capture of the session that runs was due; 0 when none is late",
        labels=["table"],
    )
    is_readable = False
    now = settings.now()
    lake = Lake(settings.source_dir, source=settings.source_name, replay_at=settings.kis_replay_at)
    try:
        if lake.folder.exists():
            closed = closed_before(lake, now)
            for name, is_final in _final(lake, now, closed):
                final.add_metric([name], float(is_final))
            for name, seconds in _late(lake, now, closed, settings.kis_schedule_capture_minutes):
                late.add_metric([name], seconds)
            is_readable = True
    except (LakeError, OSError, pl.exceptions.PolarsError, duckdb.Error):
        pass  # the rules tell of it
    yield GaugeMetricFamily(
        "kis_lake_readable",
        "1 when the lake can be read; 0 when not, or when nothing was ever stored in it",
        float(is_readable),
    )
    yield final
    yield late
    yield GaugeMetricFamily(
        "kis_schedules_on",
        "1 with KIS_SCHEDULES=on, so that captures and final tables are due; else 0",
        float(settings.kis_schedules),
    )
    there = settings.kis_data_dir.absolute()
    while not there.exists():
        there = there.parent
    disk = shutil.disk_usage(there)
    yield GaugeMetricFamily("kis_disk_bytes", "Size of the disk of the data folder", disk.total)
    yield GaugeMetricFamily("kis_disk_free_bytes", "What is free of it", disk.free)


def _final(lake: Lake, now: datetime, closed: set[date]) -> Iterator[tuple[str, bool]]:
    """Each table with whether its newest session that can be final by now is."""
    rows = lake.read(_CONDITIONS, [now.date() - LOOK_BACK]).iter_rows()
    found = {(name, day): condition for name, day, condition in rows}
    for name in sorted({name for name, _ in found}):
        table = TABLES[name]
        sessions = table.published_after
        day = (
            finality.newest_settled_day(now, sessions, closed)
            if sessions
            else finality.newest_final_day(now, closed)
        )
        condition = found.get((name, day))
        # No run can fetch ticks: where none were recorded, none are due.
        is_due = table.live != "stream" or lake.live_parts(table, day).rows() > 0
        if condition and (condition != "missing" or is_due):
            yield name, condition == "available"


def _late(
    lake: Lake, now: datetime, closed: set[date], minutes: int
) -> Iterator[tuple[str, float]]:
    """Each table that is captured with the seconds since its next capture was due."""
    session = None if now.date() in closed else calendar.session(now.date())
    is_running = session is not None and session.opens_at <= now <= session.closes_at
    for table in CAPTURED:
        if not lake.units(table):
            continue
        seconds = 0.0
        if session is not None and is_running:
            of_today = lake.scan(table, first=session.day, last=session.day)
            newest = of_today.select(pl.col("captured_at").max()).collect().item()
            since = max(newest or session.opens_at, session.opens_at)
            seconds = max(0.0, (now - since).total_seconds() - minutes * 60)
        yield table.name, seconds

"""The partitions of the assets: trading days, months, years."""

from __future__ import annotations

import warnings
from datetime import date, datetime, time
from functools import cache

import dagster as dg

from kis_assets.defs.resources import open_lake
from kis_assets.exchange import calendar
from kis_assets.kis.minute_candles import oldest_kept
from kis_assets.krx import publication
from kis_assets.settings import Settings
from kis_assets.tables import TABLES, Table
from kis_assets.ticks import journal

FIRST_DAY = date(2020, 1, 1)
"""The first day of reports, and of days with KRX as the source."""
FIRST_MONTH = "1995-05-01"
LAST_CLOSED_DAY = date(calendar.LAST_DAY.year if calendar.LAST_DAY.year < 2040 else 2040, 12, 31)

_SEOUL = "Asia/Seoul"


def _days_ahead() -> int:
    """How many days a replay is ahead of the clock, which Dagster's partitions follow."""
    replayed = Settings.load().kis_replay_at
    return 0 if replayed is None else max(0, (replayed.date() - calendar.today()).days)


_AHEAD = _days_ahead()


def _midnights(days: list[date]) -> list[datetime | str]:
    return [datetime.combine(day, time(), calendar.SEOUL) for day in days]


def _trading_days(first: date) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(),
        timezone=_SEOUL,
        # Today's partition exists from midnight on. On a day off Dagster then also offers the
        # next trading day (dagster issue 33551): assets refuse a day that has not begun.
        end_offset=1 + _AHEAD,
        exclusions=[
            "0 0 * * 6",
            "0 0 * * 0",
            *_midnights(calendar.closed_weekdays(first, LAST_CLOSED_DAY)),
        ],
    )


TRADING_DAYS = _trading_days(FIRST_DAY)
KRX_DAYS = _trading_days(publication.FIRST_DAY)
"""The trading days that KRX has."""
MONTHS = dg.MonthlyPartitionsDefinition(
    start_date=FIRST_MONTH, timezone=_SEOUL, end_offset=1 + _AHEAD // 28 + (_AHEAD > 0)
)
YEARS = dg.TimeWindowPartitionsDefinition(
    start=str(calendar.FIRST_DAY.year),
    fmt="%Y",
    cron_schedule="0 0 1 1 *",
    timezone=_SEOUL,
    end_offset=1 + _AHEAD // 365 + (_AHEAD > 0),
)


def partitions_of(table: Table) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a table's asset and of its checks."""
    if table.own_source == "krx":
        return KRX_DAYS
    if table.partition == "day":
        return _days_since(first_day(table, Settings.load()))
    return {"month": MONTHS, "year": YEARS}[table.partition]


def first_day(table: Table, settings: Settings) -> date:
    """The first partition of a daily table: the oldest stored or available day, or `KIS_FIRST_DAY`.

    It is never after a stored day: stored days stay partitions, whatever the setting.
    """
    if settings.source_type == "krx":
        return FIRST_DAY
    found = [_oldest_available(table, settings)]
    if settings.kis_first_day is not None:
        found.append(settings.kis_first_day)
    lake = open_lake(settings)
    for one in _made_together(table):
        found += [one.span(unit.partition("=")[2])[0] for unit in lake.units(one)[:1]]
    if table.live == "stream":  # a recorded day that is not stored yet
        found += journal.days(lake.folder)[:1]
    return min(found)


def _oldest_available(table: Table, settings: Settings) -> date:
    if table.sessions_kept:
        return oldest_kept(settings.now())
    return calendar.latest_session(settings.now()).day


def _made_together(table: Table) -> list[Table]:
    """The live tables that one run makes, which must have the same partitions."""
    if table.live == "stream":
        return [it for it in TABLES.values() if it.live == "stream"]
    if table.live and table.is_default:
        return [it for it in TABLES.values() if it.live and it.is_default]
    return [table]


_days_since = cache(_trading_days)


with warnings.catch_warnings():
    # It is a beta feature of Dagster, whose version is pinned.
    warnings.simplefilter("ignore", dg.BetaWarning)
    _THOSE_THERE_ARE = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def upstream(table: str) -> dg.AssetDep:
    """A dependency on a table: on the partitions within an asset's own partition, if they exist.

    Otherwise Dagster refuses to backfill a month with days before the table's first partition.
    """
    return dg.AssetDep(table, partition_mapping=_THOSE_THERE_ARE)

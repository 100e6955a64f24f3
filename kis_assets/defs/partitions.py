"""The partitions of the assets: trading days, months, years."""

from __future__ import annotations

from datetime import date, datetime, time

import dagster as dg

from kis_assets.exchange import calendar
from kis_assets.krx import publication
from kis_assets.settings import Settings
from kis_assets.tables import Table

FIRST_DAY = date(2020, 1, 1)
"""Nothing that is partitioned by day can be had for earlier days: quotes are live, and KIS keeps
minutes for a year."""
FIRST_MONTH = "1995-05-01"
LAST_CLOSED_DAY = date(calendar.LAST_DAY.year if calendar.LAST_DAY.year < 2040 else 2040, 12, 31)

_SEOUL = "Asia/Seoul"


def _days_ahead() -> int:
    """Days that a replay lies ahead of this machine's clock, by which Dagster ends partitions."""
    replayed = Settings.load().kis_replay_at
    return 0 if replayed is None else max(0, (replayed.date() - calendar.today()).days)


_AHEAD = _days_ahead()


def _midnights(days: list[date]) -> list[datetime | str]:
    return [datetime.combine(day, time(), calendar.SEOUL) for day in days]


def _trading_days(first: date) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(),
        timezone=_SEOUL,
        # Today's partition exists from midnight on. On a day off Dagster then offers the next
        # trading day as well (dagster issue 33551): an asset refuses a day that has not begun.
        end_offset=1 + _AHEAD,
        exclusions=[
            "0 0 * * 6",
            "0 0 * * 0",
            *_midnights(calendar.closed_weekdays(first, LAST_CLOSED_DAY)),
        ],
    )


TRADING_DAYS = _trading_days(FIRST_DAY)
KRX_DAYS = _trading_days(publication.FIRST_DAY)
"""The trading days that KRX tells of."""
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
    return {"day": TRADING_DAYS, "month": MONTHS, "year": YEARS}[table.partition]

"""The calendar: each day of a year, as computed and as KIS states it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.materialization import Report, asset_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import NotSupported
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Scope
from kis_assets.tables import MARKET_DAYS


@asset_of(MARKET_DAYS, "reference", deps=["exchange_calendar", "kis_open_api"])
def market_days(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each day of a year: computed, or as KIS states it if KIS was asked about it."""
    year = int(context.partition_key)
    with plain_failures():
        report = Report(kis)
        stored = lake.lake.scan(MARKET_DAYS, first=date(year, 1, 1), last=date(year, 12, 31))
        known = stored.collect()
        stated: dict[date, bool] = {}
        if _is_due(known, year, kis.now()):
            first, last = _asked_about(kis.now().date())
            try:
                stated = kis.tables.market_days(first, last)
            except NotSupported as error:
                context.log.info(f"the computed calendar is used: {error}")
        rows = overridden(
            computed_days(year, kis.settings.source_name, kis.now()), known, stated, kis.now()
        )
        return report.store(lake.lake, MARKET_DAYS, Scope.year(year), rows)


DAYS_BACK, DAYS_AHEAD = 9, 14
"""The requested days: 24 days around today, which is one page of KIS's calendar."""


def _is_due(known: pl.DataFrame, year: int, now: datetime) -> bool:
    """Whether KIS may be asked: only about the current year, and once a day."""
    asked_today = pl.col("asked_at").is_not_null() & (pl.col("day") == now.date())
    return year == now.year and known.filter(asked_today).is_empty()


def _asked_about(today: date) -> tuple[date, date]:
    year = today.year
    first = max(today - timedelta(days=DAYS_BACK), date(year, 1, 1))
    return first, min(today + timedelta(days=DAYS_AHEAD), date(year, 12, 31))


def overridden(
    computed: pl.DataFrame, known: pl.DataFrame, stated: dict[date, bool], now: datetime
) -> pl.DataFrame:
    """The computed calendar, overridden by what KIS states now, or else by what it stated before.

    An open day keeps its computed hours, because KIS states none.
    """
    before = {row["day"]: row for row in known.iter_rows(named=True) if row["known_from"] == "kis"}
    asked_at = {row["day"]: row["asked_at"] for row in known.iter_rows(named=True)}
    rows: list[dict[str, Any]] = []
    for row in computed.iter_rows(named=True):
        day: date = row["day"]
        is_open = stated.get(day, before[day]["is_open"] if day in before else None)
        if is_open is not None:
            row |= {"is_open": is_open, "known_from": "kis"}
            if not is_open:
                row |= _hours(None)
            elif row["opens_at"] is None:
                row |= _hours(calendar.ordinary_session(day))
        if day in before and day not in stated:
            row["fetched_at"] = before[day]["fetched_at"]
        row["asked_at"] = now.astimezone(UTC) if stated and day == now.date() else asked_at.get(day)
        rows.append(row)
    return pl.DataFrame(rows, schema=MARKET_DAYS.schema)


def _hours(session: calendar.Session | None) -> dict[str, datetime | None]:
    """The columns of a day's hours; all null if it is closed."""
    after_market = session.after_market if session else None
    return {
        "opens_at": session and session.opens_at.astimezone(UTC),
        "closes_at": session and session.closes_at.astimezone(UTC),
        "after_market_opens_at": after_market and after_market[0].astimezone(UTC),
        "after_market_closes_at": after_market and after_market[1].astimezone(UTC),
    }


def computed_days(year: int, source: str, now: datetime) -> pl.DataFrame:
    """Rows of `market_days` for a year, computed at this time."""
    rows: list[dict[str, object]] = []
    day = date(year, 1, 1)
    while day.year == year:
        session = calendar.session(day)
        rows.append(
            {
                "day": day,
                "is_open": session is not None,
                **_hours(session),
                "known_from": session.known_from if session else "computed",
                "note": session and session.note,
                "source": source,
                "fetched_at": now,
            }
        )
        day += timedelta(days=1)
    return pl.DataFrame(rows, schema=MARKET_DAYS.schema)

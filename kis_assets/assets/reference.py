"""Reference data: the calendar and the listed issues."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from kis_assets import krx
from kis_assets.assets.reporting import OWNERS, Report, described
from kis_assets.assets.sessions import master_day
from kis_assets.lake import Scope
from kis_assets.partitions import TRADING_DAYS, YEARS
from kis_assets.resources import KISResource, LakeResource, plain_failures
from kis_assets.tables import MARKET_DAYS, STOCK_MASTER


@dg.asset(
    partitions_def=YEARS,
    group_name="reference",
    owners=OWNERS,
    kinds={"python", "parquet"},
    description=MARKET_DAYS.description,
    metadata=described(MARKET_DAYS),
)
def market_days(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each day of a year from the computed calendar, with its session times."""
    report = Report()
    year = int(context.partition_key)
    with plain_failures():
        rows = calendar(year, kis.settings.source_type)
        return report.result(lake.lake.replace(MARKET_DAYS, Scope.year(year), rows))


def calendar(year: int, source: str) -> pl.DataFrame:
    """Rows of `market_days` for a year."""
    known_at = datetime.now(UTC)
    rows: list[dict[str, object]] = []
    day = date(year, 1, 1)
    while day.year == year:
        session = krx.session(day)
        rows.append(
            {
                "day": day,
                "is_open": session is not None,
                "opens_at": session and session.opens_at,
                "closes_at": session and session.closes_at,
                "known_from": session.known_from if session else "computed",
                "note": session and session.note,
                "source": source,
                "fetched_at": known_at,
            }
        )
        day += timedelta(days=1)
    return pl.DataFrame(rows, schema=MARKET_DAYS.schema)


@dg.asset(
    partitions_def=TRADING_DAYS,
    group_name="reference",
    owners=OWNERS,
    kinds={"python", "parquet"},
    description=STOCK_MASTER.description,
    metadata=described(STOCK_MASTER),
)
def stock_master(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Every listed issue with its flags. Live: the files tell of today alone."""
    report = Report()
    with plain_failures():
        day = master_day(context.partition_key, kis.now())
        rows = kis.source.stock_master(day)
        return report.result(lake.lake.replace(STOCK_MASTER, Scope.day(day), rows))

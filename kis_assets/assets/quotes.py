"""Live quotes: captured while they are there, never to be had later."""

from typing import Any

import dagster as dg

from kis_assets.assets import universe
from kis_assets.assets.reference import stock_master
from kis_assets.assets.reporting import (
    OWNERS,
    Report,
    described,
    logged,
    refuse_nothing_stored,
)
from kis_assets.assets.sessions import live_session
from kis_assets.lake import Scope
from kis_assets.partitions import TRADING_DAYS
from kis_assets.resources import KISResource, LakeResource, plain_failures
from kis_assets.tables import ORDER_BOOKS, PRICE_SNAPSHOTS


@dg.asset(
    partitions_def=TRADING_DAYS,
    deps=[stock_master],
    group_name="quotes",
    owners=OWNERS,
    kinds={"python", "parquet"},
    pool="kis_live",
    description=PRICE_SNAPSHOTS.description,
    metadata=described(PRICE_SNAPSHOTS),
)
def price_snapshots(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's quote at this moment. A second capture of a day adds rows."""
    with plain_failures():
        captured_at = kis.now()
        venue = kis.settings.kis_venue
        day = live_session(context.partition_key, captured_at, lake.lake, venue).day
        report = Report(kis.source)
        stocks = universe.of_day(kis, lake.lake, day)
        fetched = kis.source.price_snapshots(stocks, day, captured_at, logged(context.log.info))
        refuse_nothing_stored(fetched, f"prices of {day}")
        answered = set(stocks["stock_code"]) - set(fetched.failed)
        scope = Scope.capture(day, captured_at).of(answered)
        return report.result(lake.lake.replace(PRICE_SNAPSHOTS, scope, fetched.rows), fetched)


@dg.asset(
    partitions_def=TRADING_DAYS,
    deps=[stock_master],
    group_name="quotes",
    owners=OWNERS,
    kinds={"python", "parquet"},
    pool="kis_live",
    description=ORDER_BOOKS.description,
    metadata=described(ORDER_BOOKS),
)
def order_books(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's order book at this moment. A second capture of a day adds rows."""
    with plain_failures():
        captured_at = kis.now()
        venue = kis.settings.kis_venue
        day = live_session(context.partition_key, captured_at, lake.lake, venue).day
        report = Report(kis.source)
        stocks = universe.of_day(kis, lake.lake, day)
        fetched = kis.source.order_books(stocks, day, captured_at, logged(context.log.info))
        refuse_nothing_stored(fetched, f"order books of {day}")
        answered = set(stocks["stock_code"]) - set(fetched.failed)
        scope = Scope.capture(day, captured_at).of(answered)
        return report.result(lake.lake.replace(ORDER_BOOKS, scope, fetched.rows), fetched)

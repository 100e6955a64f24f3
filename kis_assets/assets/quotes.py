"""Live quotes: captured while they are there, never to be had later."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

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
from kis_assets.sources.base import AbstractDataSource, Fetched, Progress
from kis_assets.tables import ORDER_BOOKS, PRICE_SNAPSHOTS, Table


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
    return _capture(context, kis, lake, PRICE_SNAPSHOTS, lambda source: source.price_snapshots)


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
    return _capture(context, kis, lake, ORDER_BOOKS, lambda source: source.order_books)


Fetch = Callable[[pl.DataFrame, date, datetime, Progress], Fetched]


def _capture(
    context: dg.AssetExecutionContext,
    kis: KISResource,
    lake: LakeResource,
    table: Table,
    fetch: Callable[[AbstractDataSource], Fetch],
) -> dg.MaterializeResult[Any]:
    """Fetch what the market shows of the universe now, and store it as one capture of its day."""
    with plain_failures():
        captured_at = kis.now()
        venue = kis.settings.kis_venue
        day = live_session(context.partition_key, captured_at, lake.lake, venue).day
        report = Report(kis.source, lake.lake, context.log)
        stocks = universe.of_day(kis, lake.lake, day)
        fetched = fetch(kis.source)(stocks, day, captured_at, logged(context.log.info))
        refuse_nothing_stored(fetched, f"{table.name} of {day}")
        answered = set(stocks["stock_code"]) - set(fetched.failed)
        scope = Scope.capture(day, captured_at).of(answered)
        change = lake.lake.replace(table, scope, fetched.rows)
        return report.result(change, fetched, stocks=stocks)

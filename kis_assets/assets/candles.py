"""Candles: history that can be asked for again."""

from datetime import date
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
from kis_assets.assets.sessions import month, refuse_closed
from kis_assets.kis.minutes import kept_session
from kis_assets.lake import Scope
from kis_assets.partitions import MONTHS, TRADING_DAYS
from kis_assets.resources import KISResource, LakeResource, plain_failures
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES


@dg.asset(
    partitions_def=MONTHS,
    deps=[stock_master],
    group_name="candles",
    owners=OWNERS,
    kinds={"python", "parquet"},
    pool="kis_history",
    description=DAILY_CANDLES.description,
    metadata=described(DAILY_CANDLES),
)
def daily_candles(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's raw bars of a month. A later run picks up what was corrected since."""
    with plain_failures():
        report = Report(kis.source, lake.lake, context.log)
        first, last = month(context.partition_key, kis.now())
        stocks = universe.of_month(kis, lake.lake, first, last)
        codes = stocks["stock_code"].to_list()
        fetched = kis.source.daily_candles(codes, first, last, logged(context.log.info))
        refuse_nothing_stored(fetched, f"daily candles of {first:%Y-%m}")
        # What KIS had before and says nothing of now is not taken away: bars replace bars.
        scope = Scope.month(first).of(fetched.rows["stock_code"].unique())
        change = lake.lake.replace(DAILY_CANDLES, scope, fetched.rows)
        kis.source.history_is_stored(first, last)
        return report.result(change, fetched, stocks=stocks)


@dg.asset(
    partitions_def=TRADING_DAYS,
    deps=[stock_master],
    group_name="candles",
    owners=OWNERS,
    kinds={"python", "parquet"},
    pool="kis_history",
    description=MINUTE_CANDLES.description,
    metadata=described(MINUTE_CANDLES),
)
def minute_candles(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's minutes of a session, also of the one that runs, as far as it has come."""
    with plain_failures():
        report = Report(kis.source, lake.lake, context.log)
        day = kept_session(date.fromisoformat(context.partition_key), kis.now()).day
        refuse_closed(lake.lake, day)
        codes = universe.of_month(kis, lake.lake, day, day)["stock_code"].to_list()
        fetched = kis.source.minute_candles(codes, day, logged(context.log.info))
        refuse_nothing_stored(fetched, f"minutes of {day}")
        # A stock's minutes replace its minutes: they lie on one axis. What KIS says nothing of now
        # is not taken away.
        scope = Scope.day(day).of(fetched.rows["stock_code"].unique())
        change = lake.lake.replace(MINUTE_CANDLES, scope, fetched.rows)
        kis.source.history_is_stored(day, day)
        return report.result(change, fetched)

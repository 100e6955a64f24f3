"""Candles: history that can be asked for again."""

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
from kis_assets.assets.sessions import month
from kis_assets.lake import Scope
from kis_assets.partitions import MONTHS
from kis_assets.resources import KISResource, LakeResource, plain_failures
from kis_assets.tables import DAILY_CANDLES


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
        report = Report(kis.source)
        first, last = month(context.partition_key, kis.now())
        codes = universe.of_month(kis, lake.lake, first, last)["stock_code"].to_list()
        fetched = kis.source.daily_candles(codes, first, last, logged(context.log.info))
        refuse_nothing_stored(fetched, f"daily candles of {first:%Y-%m}")
        # What KIS had before and says nothing of now is not taken away: bars replace bars.
        scope = Scope.month(first).of(fetched.rows["stock_code"].unique())
        return report.result(lake.lake.replace(DAILY_CANDLES, scope, fetched.rows), fetched)

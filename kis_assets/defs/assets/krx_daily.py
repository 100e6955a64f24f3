"""The exchange's own daily figures: a second source, independent of the broker."""

from datetime import date
from typing import Any

import dagster as dg

from kis_assets.defs.materialization import Report, asset_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.lake.lake import Scope
from kis_assets.tables import KRX_DAILY


# It reads no candles, but comes after them because its checks compare them with KRX's figures.
@asset_of(KRX_DAILY, "candles", pool="krx", deps=["daily_candles"])
def krx_daily(
    context: dg.AssetExecutionContext, krx: KISResource, krx_lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Every stock's row of a day that KRX has published. It is stored in data/krx."""
    with plain_failures():
        report = Report(krx)
        day = date.fromisoformat(context.partition_key)
        rows = krx.tables.whole_market(day)
        return report.store(krx_lake.lake, KRX_DAILY, Scope.day(day), rows)

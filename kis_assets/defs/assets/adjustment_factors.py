"""Adjustment factors: by which each day changed all earlier prices."""

from typing import Any

import dagster as dg

from kis_assets.defs.materialization import Report, asset_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.lake.scope import Scope
from kis_assets.tables import ADJUSTMENT_FACTORS, DAILY_CANDLES


@asset_of(ADJUSTMENT_FACTORS, "actions", deps=["daily_candles", "corporate_actions"])
def adjustment_factors(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """The factors of a year, computed from stored rows; the lake also updates them after writes."""
    with plain_failures():
        report = Report(kis)
        scope = Scope.year(int(context.partition_key))
        candles = lake.lake.scan(DAILY_CANDLES, first=scope.first, last=scope.last)
        if candles.head(1).collect().is_empty():
            raise InvalidRequest(
                f"no daily candles of {scope.first.year} are stored; "
                f"run: kis-assets backfill daily_candles {scope.first:%Y-%m} {scope.last:%Y-%m}"
            )
        rows = lake.lake.factors(scope.first.year)
        return report.store(lake.lake, ADJUSTMENT_FACTORS, scope, rows)

"""Every listed issue with its flags."""

from typing import Any

import dagster as dg

from kis_assets.defs.availability import master_day
from kis_assets.defs.materialization import Report, asset_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.lake.lake import Scope
from kis_assets.tables import STOCK_MASTER


@asset_of(STOCK_MASTER, "reference", deps=["kis_master_files"])
def stock_master(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Every listed issue with its flags. KIS's files are of today only; KRX has any past day."""
    with plain_failures():
        report = Report(kis)
        day = master_day(context.partition_key, kis.now(), kis.settings)
        rows = kis.tables.stock_master(day)
        return report.store(lake.lake, STOCK_MASTER, Scope.day(day), rows)

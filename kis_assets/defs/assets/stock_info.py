"""Facts of each stock that change slowly. Only current ones are available."""

from datetime import date
from typing import Any

import dagster as dg

from kis_assets.defs import universe
from kis_assets.defs.materialization import Report, asset_of, progress_logger, refuse_nothing_stored
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.lake.lake import Scope
from kis_assets.tables import STOCK_INFO


@asset_of(STOCK_INFO, "reference", pool="kis_history", deps=["stock_master"])
def stock_info(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's current facts, stored once a month."""
    with plain_failures():
        month, today = date.fromisoformat(context.partition_key), kis.now().date()
        if month != today.replace(day=1):
            raise InvalidRequest(
                f"stock info is available only for {today:%Y-%m}, not for {month:%Y-%m}; stored "
                "rows are unchanged"
            )
        report = Report(kis)
        stocks = universe.of_day(kis, lake.lake, kis.newest_day())
        fetched = kis.tables.stock_info(
            stocks, month, progress_logger(context.log.info, kis.listener)
        )
        refuse_nothing_stored(fetched, f"stock info of {month:%Y-%m}")
        # Stocks that failed now keep their rows from earlier in the month.
        scope = Scope.month(month).of(fetched.rows["stock_code"].unique())
        return report.store(lake.lake, STOCK_INFO, scope, fetched)

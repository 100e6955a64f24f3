"""The job that fills the cache before the open, so that programs get answers at once later."""

import dagster as dg
import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar

COUNT = 100


@dg.op(pool="kis_live")
def warm_cache(context: dg.OpExecutionContext, kis: KISResource, lake: LakeResource) -> None:
    """Request prices, charts and facts of the 100 most traded stocks.

    Without captured prices, the stocks are ranked by the stock master: the volume of the session
    before times the base price.
    """
    with plain_failures():
        try:
            codes = universe.most_traded(lake.lake, COUNT)
        except InvalidRequest as reason:
            context.log.info(f"by the stock master: {reason}")
            stocks = universe.of_day(kis, lake.lake, calendar.latest_session(kis.now()).day)
            value = pl.col("previous_volume") * pl.col("base_price")
            ranked = stocks.sort(value, descending=True, nulls_last=True)
            codes = ranked["stock_code"].head(COUNT).to_list()
        found = kis.source.warm_cache(codes)
        seconds = found.pop("total_duration_seconds")
        context.add_output_metadata({"stocks": len(codes), "seconds": seconds, **found})

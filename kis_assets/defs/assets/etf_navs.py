"""Net asset values of ETFs: etf_navs. All listed ETFs, whatever the universe."""

from datetime import date

import polars as pl

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.defs.resources import KISResource
from kis_assets.kis import etf_navs as service
from kis_assets.lake.lake import Lake
from kis_assets.tables import ETF_NAVS, STOCK_MASTER


def funds(kis: KISResource, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """The ETFs of the newest stored day, else of the source's list of today."""
    stored = lake.scan(STOCK_MASTER).filter(pl.col("trading_day") == pl.col("trading_day").max())
    rows = stored.collect()
    if rows.is_empty():
        rows = kis.tables.stock_master(kis.newest_day())
    return rows.filter(pl.col("security_type") == "etf").sort("stock_code")


etf_navs = daily_figures(ETF_NAVS, service.SERVICE, "indices", funds)

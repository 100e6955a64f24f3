"""Net asset values of ETFs (etf_navs): all listed ETFs, independent of the universe."""

from datetime import date

import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.defs.resources import KISResource
from kis_assets.kis import etf_navs as service
from kis_assets.lake.lake import Lake
from kis_assets.tables import ETF_NAVS


def funds(kis: KISResource, lake: Lake, _first: date, _last: date) -> pl.DataFrame:
    """The ETFs that are listed today."""
    return universe.of_today(kis, lake).filter(pl.col("security_type") == "etf").sort("stock_code")


etf_navs = daily_figures(ETF_NAVS, service.SERVICE, "indices", funds)

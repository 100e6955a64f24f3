"""Net purchases of investors on KOSPI and KOSDAQ (market_flows)."""

from datetime import date

import polars as pl

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.defs.resources import KISResource
from kis_assets.kis import market_flows as service
from kis_assets.lake.lake import Lake
from kis_assets.tables import MARKET_FLOWS


def markets(_kis: KISResource, _lake: Lake, _first: date, _last: date) -> pl.DataFrame:
    """The two markets for which KIS has figures."""
    return pl.DataFrame({"market": ["KOSPI", "KOSDAQ"]})


market_flows = daily_figures(MARKET_FLOWS, service.SERVICE, "flows", markets)

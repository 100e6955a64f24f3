"""Bars of indices (index_candles). `KIS_INDICES` limits the list of KIS's index master."""

from datetime import date

import polars as pl

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.defs.resources import KISResource
from kis_assets.kis import index_candles as service
from kis_assets.lake.lake import Lake
from kis_assets.tables import INDEX_CANDLES


def indices(kis: KISResource, _lake: Lake, _first: date, _last: date) -> pl.DataFrame:
    """The indices in the settings, or else all."""
    codes = kis.settings.kis_indices or kis.tables.indices()
    return pl.DataFrame({"index_code": sorted(codes)})


# Many indices of the master have no bars, and the master does not say which.
index_candles = daily_figures(INDEX_CANDLES, service.SERVICE, "indices", indices, may_lack=True)

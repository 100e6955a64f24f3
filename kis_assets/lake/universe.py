"""The stocks that `KIS_UNIVERSE` and `KIS_STOCK_CODES` select. Sends no request."""

from __future__ import annotations

import polars as pl

from kis_assets.exchange.stocks import in_universe
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.tables import STOCK_MASTER


def wanted(settings: Settings, lake: Lake, unstored: pl.DataFrame | None = None) -> pl.Expr:
    """Which rows of `stock_master` belong to the universe.

    The most traded stocks are those of the first stored day and stay the same: a set that changed
    daily would leave gaps in every stock. `unstored` are rows of a day to use if none is stored
    yet.
    """
    if settings.kis_stock_codes is not None:
        return pl.col("stock_code").is_in(settings.kis_stock_codes)
    groups, most_traded = settings.universe
    if most_traded is None:
        return in_universe(groups)
    stored = lake.scan(STOCK_MASTER)
    first = stored.filter(pl.col("trading_day") == pl.col("trading_day").min()).collect()
    rows = unstored if first.is_empty() and unstored is not None else first
    value = pl.col("base_price") * pl.col("previous_volume")
    ranked = rows.filter(in_universe(groups)).sort(
        value, "previous_market_cap", "stock_code", descending=[True, True, False], nulls_last=True
    )
    return pl.col("stock_code").is_in(ranked["stock_code"].head(most_traded).to_list())

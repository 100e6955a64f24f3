"""Short sales of each stock (short_sales)."""

from datetime import date

import polars as pl

from kis_assets.defs.assets.daily_figures import daily_figures
from kis_assets.kis import short_sales as service
from kis_assets.lake.lake import Lake
from kis_assets.tables import DAILY_CANDLES, SHORT_SALES


def of_volume(rows: pl.DataFrame, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """Rows with `short_ratio`, computed from the stored volume, which is on that day's share count.

    The volume in KIS's answer is on today's share count.
    """
    volumes = (
        lake.scan(DAILY_CANDLES, first=first, last=last)
        .select("trading_day", "stock_code", "volume")
        .collect()
    )
    ratio = pl.when(pl.col("volume") > 0).then(pl.col("short_volume") / pl.col("volume") * 100)
    nothing = pl.when(pl.col("volume") == 0).then(0.0)
    return (
        rows.join(volumes, on=["trading_day", "stock_code"], how="left", maintain_order="left")
        .with_columns(short_ratio=pl.coalesce(ratio, nothing))
        .select(rows.columns)
    )


short_sales = daily_figures(
    SHORT_SALES, service.SERVICE, "flows", finish=of_volume, deps=("daily_candles",)
)

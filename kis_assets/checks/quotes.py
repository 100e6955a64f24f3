"""What must be true of captured quotes."""

from __future__ import annotations

import polars as pl

from kis_assets.checks.claims import Span
from kis_assets.kis.master import in_universe
from kis_assets.settings import Settings
from kis_assets.tables import STOCK_MASTER

KEPT = ("trading_day", "captured_at", "stock_code")


def key_is_unique(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """No two rows have the same key."""
    return rows.filter(pl.struct(span.table.key).is_duplicated()).select(span.table.key)


def high_covers_all_prices(_: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """High is not below, and low not above, any price of the session; 0 where none was traded."""
    traded = pl.col("volume") > 0
    inside = pl.all_horizontal(
        pl.col(name).is_between("low", "high") for name in ("open", last_price(rows))
    )
    empty = pl.all_horizontal(pl.col(name) == 0 for name in ("open", "high", "low"))
    # Until the first trade of a session there may be off-hours volume beside empty prices.
    right = pl.when(empty).then(True).otherwise(traded & inside & (pl.col("low") > 0))
    shown = [name for name in KEPT if name in rows.columns]
    return rows.filter(~right).select(*shown, "open", "high", "low", last_price(rows), "volume")


def last_price(rows: pl.DataFrame) -> str:
    """What the last price is called in these rows."""
    return "price" if "price" in rows.columns else "close"


def universe_is_covered(span: Span, rows: pl.DataFrame) -> pl.DataFrame:
    """Every stock of the day's universe has a row in the latest capture."""
    settings = Settings.load()
    master = span.rows(STOCK_MASTER)
    if settings.kis_stock_codes is not None:
        wanted = master.filter(pl.col("stock_code").is_in(settings.kis_stock_codes))
    else:
        wanted = master.filter(in_universe(settings.kis_universe))
    latest = rows.filter(pl.col("captured_at") == pl.col("captured_at").max())
    return wanted.join(latest, on="stock_code", how="anti").select(
        "stock_code", "stock_name", "market", "is_halted"
    )

"""Checks of order books."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import Window
from kis_assets.tables import LEVELS, STOCK_MASTER

KEY = ("trading_day", "captured_at", "stock_code")
_PLACES = range(1, LEVELS + 1)
CONTINUOUS = "20"
NO_INTERRUPTION = "N"


def is_quoted() -> pl.Expr:
    """An expression: whether a book has an ask or a bid."""
    return pl.col("ask_price_1").is_not_null() | pl.col("bid_price_1").is_not_null()


def captures_are_made_while_people_quote(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """At least half of a capture's books have an ask or a bid, not counting halted stocks.

    If most have none, the market was closed, and the capture is useless.
    """
    halted = window.rows(STOCK_MASTER).filter("is_halted").select("stock_code", "trading_day")
    traded = rows.join(halted, on=["stock_code", "trading_day"], how="anti")
    quoted = is_quoted().mean().over("captured_at")
    return traded.filter(~is_quoted() & (quoted < 0.5)).select(*KEY, "session")


def _steps(side: str, what: str) -> list[tuple[str, str]]:
    return [(f"{side}_{what}_{n}", f"{side}_{what}_{n + 1}") for n in _PLACES[:-1]]


def asks_rise_and_bids_fall(window: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every level is further from the middle than the one before, and no level is missing."""
    wrong = [
        pl.col(better).is_null() & pl.col(worse).is_not_null()
        for side in ("ask", "bid")
        for better, worse in _steps(side, "price")
    ]
    wrong += [pl.col(better) >= pl.col(worse) for better, worse in _steps("ask", "price")]
    wrong += [pl.col(better) <= pl.col(worse) for better, worse in _steps("bid", "price")]
    prices = "^(ask|bid)_price_.*$"
    return rows.filter(pl.any_horizontal(wrong)).select(*window.table.key, prices)


def best_bid_is_below_best_ask(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The best bid is below the best ask, except in auctions and interruptions."""
    trading = (pl.col("market_phase") == CONTINUOUS) & (
        pl.col("vi_code").is_null() | (pl.col("vi_code") == NO_INTERRUPTION)
    )
    return rows.filter(trading & (pl.col("bid_price_1") >= pl.col("ask_price_1"))).select(
        *KEY, "bid_price_1", "ask_price_1", "market_phase"
    )


def totals_cover_levels(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The total shares of a side are at least the sum of its ten levels."""
    sums = {
        f"{side}_levels": pl.sum_horizontal(f"{side}_volume_{n}" for n in _PLACES)
        for side in ("ask", "bid")
    }
    wrong = pl.any_horizontal(
        pl.col(f"total_{side}_volume") < sums[f"{side}_levels"] for side in ("ask", "bid")
    )
    return rows.filter(wrong).select(*KEY, "total_ask_volume", "total_bid_volume", **sums)


def levels_have_shares(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every level with a price has a volume above 0."""
    wrong = pl.any_horizontal(
        pl.col(f"{side}_price_{n}").is_not_null() & (pl.col(f"{side}_volume_{n}") == 0)
        for side in ("ask", "bid")
        for n in _PLACES
    )
    return rows.filter(wrong).select(*KEY)

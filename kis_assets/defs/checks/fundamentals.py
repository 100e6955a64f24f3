"""Checks of valuations, statements and net asset values."""

from __future__ import annotations

import polars as pl

from kis_assets.defs.checks.check import Window

_HUNDRED_MILLION = 100_000_000


def ratios_are_price_over_figures(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """PER and PBR are the price divided by EPS and BPS, to 1 %; 1 % of the stocks may differ."""
    wrong = [
        (pl.col("price") / pl.col(figure) - pl.col(ratio)).abs() > 0.02 + pl.col(ratio).abs() * 0.01
        for ratio, figure in (("per", "eps"), ("pbr", "bps"))
    ]
    return rows.filter(pl.any_horizontal(wrong)).select(
        "trading_day", "stock_code", "price", "per", "eps", "pbr", "bps"
    )


def extremes_cover_the_price(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The price is between the 52-week low and high; 1 % of the stocks may be outside."""
    outside = (pl.col("price") > pl.col("week52_high")) | (pl.col("price") < pl.col("week52_low"))
    return rows.filter(outside).select(
        "trading_day", "stock_code", "price", "week52_low", "week52_high"
    )


def balance_sheets_balance(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Assets equal liabilities plus equity, to 200 million KRW; 2 % of the rows may differ."""
    rest = pl.col("total_assets") - pl.col("total_liabilities") - pl.col("total_equity")
    return rows.filter(rest.abs() > 2 * _HUNDRED_MILLION).select(
        "stock_code", "fiscal_month", "period", "total_assets", "total_liabilities", "total_equity"
    )


def quarters_add_up_to_their_year(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """The sales of a year's quarters add up to those of the year; 2 % of the years may differ."""
    years = rows.filter(pl.col("period") == "annual").select(
        "stock_code", "fiscal_month", year="revenue"
    )
    quarters = rows.filter(pl.col("period") == "quarter", pl.col("revenue").is_not_null()).select(
        "stock_code", "revenue", ends="fiscal_month"
    )
    begins = pl.col("fiscal_month").dt.offset_by("-9mo")
    sums = (
        years.join(quarters, on="stock_code")
        .filter(pl.col("ends").is_between(begins, pl.col("fiscal_month")))
        .group_by("stock_code", "fiscal_month")
        .agg(pl.first("year"), quarters=pl.sum("revenue"), count=pl.len())
    )
    return sums.filter(
        pl.col("count") == 4, (pl.col("year") - pl.col("quarters")).abs() > 4 * _HUNDRED_MILLION
    )


def closes_are_near_their_nav(_: Window, rows: pl.LazyFrame) -> pl.LazyFrame:
    """A fund's close is within 15 % of its net asset value: funds on foreign assets differ most."""
    return rows.filter(pl.col("premium_rate").abs() > 15).select(
        "trading_day", "stock_code", "close", "nav", "premium_rate"
    )

"""Computes `adjustment_factors`, the effect of a day on earlier prices, from candles and actions.

Each publication of a lake first updates the factors from the candles. So adjusted prices are a
simple join of candles with factors that match them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

import polars as pl

from kis_assets.exchange import calendar, prices
from kis_assets.lake.base_prices import SUPPORTED
from kis_assets.tables import ADJUSTMENT_FACTORS, DAILY_CANDLES

INPUT = (
    *("trading_day", "stock_code", "close", "base_price"),
    *("is_final", "ex_flag", "revaluation", "split_ratio"),
)
"""The columns of `daily_candles` that factors need."""
_OF_SHARES = ("split", "reverse_split", "bonus_issue", "capital_reduction")
"""Kinds of actions whose ratio is a ratio of shares."""
_NO_BASIS = ("cash_dividend", "stock_dividend")
"""Kinds that do not change a base price."""
_NO_MARK = ("00", "02", "03", "05")
"""Marks of the daily chart that do not change a base price: no mark, and dividends."""
_DAY = ["stock_code", "trading_day"]
_EMPTY = DAILY_CANDLES.empty().select(INPUT).with_columns(stretch=pl.lit(0, pl.Int64))


def factors(months: Iterable[pl.DataFrame], actions: pl.DataFrame, first: date) -> pl.DataFrame:
    """Rows of `adjustment_factors` from `first` on, without source and time.

    A close that is not final does not count as a previous close: after it, only a mark of the daily
    chart or a recorded action makes a factor. A gap longer than KRX was ever closed means that
    months are not stored: a price difference across it proves nothing.

    Args:
        months: rows of `daily_candles` in the columns of `INPUT`, month by month, so that a year
            need not be in memory. Rows before `first` give the previous closes.
        actions: rows of `corporate_actions` from `first` on.
        first: the first day of the result.
    """
    recorded = _recorded(actions)
    newest: pl.DataFrame | None = None
    found: list[pl.DataFrame] = []
    for month in months:
        rows = _with_stretches(month, newest)
        known = rows if newest is None else pl.concat([newest, rows])
        begins: date = month["trading_day"].sort()[0]
        found.append(_factors(known.sort(_DAY), recorded, max(first, begins)))
        newest = known.group_by("stock_code").agg(
            pl.exclude("stock_code").sort_by("trading_day").last()
        )
        newest = newest.select(known.columns)
    return pl.concat(found) if found else _factors(_EMPTY, recorded, first)


def _with_stretches(month: pl.DataFrame, before: pl.DataFrame | None) -> pl.DataFrame:
    """The candles, each with the number of its stretch of stored days."""
    days = month.select(pl.col("trading_day").unique().sort())
    last = None if before is None else before["trading_day"].max()
    stretch = 0 if before is None else before["stretch"].max()
    gap = pl.col("trading_day") - pl.col("trading_day").shift(fill_value=pl.lit(last, pl.Date))
    is_after_hole = (gap > calendar.LONGEST_CLOSURE).fill_null(value=False)
    days = days.with_columns(stretch=is_after_hole.cum_sum().cast(pl.Int64) + stretch)
    return month.select(INPUT).join(days, on="trading_day", how="left")


def _factors(rows: pl.DataFrame, recorded: pl.DataFrame, first: date) -> pl.DataFrame:
    previous = {
        f"previous_{name}": pl.col(name).shift().over("stock_code")
        for name in ("close", "is_final", "stretch")
    }
    days = (
        rows.with_columns(**previous)
        .filter(pl.col("trading_day") >= first, pl.col("previous_close").is_not_null())
        .join(recorded, on=_DAY, how="left")
        .with_columns(higher=pl.max_horizontal("base_price", "previous_close"))
    )
    base, close, split = (pl.col(name) for name in ("base_price", "previous_close", "split_ratio"))
    tick = pl.sql_expr(prices.tick_sql("higher", "trading_day"))
    is_marked = (
        ~pl.col("ex_flag").is_in(_NO_MARK) | (pl.col("revaluation") != "00") | (split > 0)
    ).fill_null(value=False) | pl.col("is_noted").fill_null(value=False)
    # After a halt an auction sets the base price, between half and twice the price by the ratio.
    goes_with_base = (base * pl.col("ratio") / close).is_between(*SUPPORTED).fill_null(value=False)
    is_new_stretch = pl.col("stretch") != pl.col("previous_stretch")
    by_chart = (pl.when(split > 0).then(split), pl.lit("daily_chart"))
    by_base = (base / close, pl.lit("base_price"))
    nothing = (pl.lit(1.0), pl.lit(""))
    cases = (
        (is_new_stretch & (split > 0), by_chart),
        (is_new_stretch, nothing),
        # Without a price change there was no action on this day: its date was moved.
        ((base - close).abs() <= tick, nothing),
        (goes_with_base, (1.0 / pl.col("ratio"), pl.lit("ratio"))),
        (pl.col("previous_is_final"), by_base),
        (split > 0, by_chart),
        (is_marked, by_base),
    )
    factor, evidence = nothing
    for case, (how_much, from_what) in reversed(cases):
        factor = pl.when(case).then(how_much).otherwise(factor)
        evidence = pl.when(case).then(from_what).otherwise(evidence)
    return (
        days.with_columns(factor=factor, evidence=evidence)
        .filter(pl.col("factor") != 1.0, pl.col("factor").is_finite(), pl.col("factor") > 0)
        .select(
            pl.col("trading_day").alias("effective_on"),
            "stock_code",
            "factor",
            pl.col("reason").fill_null("unknown"),
            "evidence",
            "base_price",
            "previous_close",
        )
    )


def _recorded(actions: pl.DataFrame) -> pl.DataFrame:
    """Each day's recorded kinds, its ratio of shares, and whether the base price changes."""
    known = actions.rename({"effective_on": "trading_day"})
    ratios = (
        known.filter(pl.col("kind").is_in(_OF_SHARES), pl.col("ratio") > 0)
        .group_by(*_DAY, "kind")
        .agg(pl.max("ratio"))
        .group_by(_DAY)
        .agg(pl.col("ratio").product())
    )
    kinds = (
        known.filter(~pl.col("kind").is_in(_NO_BASIS))
        .group_by(_DAY)
        .agg(reason=pl.col("kind").unique().sort().str.join("+"), is_noted=pl.lit(value=True))
    )
    return kinds.join(ratios, on=_DAY, how="left")


def stored(rows: pl.DataFrame, source: str, now: datetime) -> pl.DataFrame:
    """Factors as rows of their table."""
    schema = ADJUSTMENT_FACTORS.schema
    origin = {"source": source, "fetched_at": now}
    return rows.with_columns(
        pl.lit(value).cast(schema[name]).alias(name) for name, value in origin.items()
    ).select(schema.names())

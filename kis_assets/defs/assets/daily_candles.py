"""Daily candles. They can be fetched again, and become final on the next morning."""

from datetime import date, datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.availability import month
from kis_assets.defs.materialization import (
    Report,
    asset_of,
    log_estimate,
    progress_logger,
    refuse_nothing_stored,
)
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar, finality
from kis_assets.exchange.venues import Venue
from kis_assets.lake.closed_days import closed_before
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import provisional
from kis_assets.sources.kis_tables import NO_BAR
from kis_assets.sources.tables import Fetched
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS


@asset_of(DAILY_CANDLES, "candles", pool="kis_history", deps=["stock_master"])
def daily_candles(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's raw bars of a month. A later run includes corrections made since."""
    with plain_failures():
        report = Report(kis)
        first, last = month(context.partition_key, kis.newest_day())
        stocks = universe.of_month(kis, lake.lake, first, last)
        # A stock that left the universe is fetched until its last rows are final.
        left = provisional(lake.lake, kis.now(), first, last)["stock_code"]
        codes = sorted({*stocks["stock_code"], *left})
        log_estimate(context, kis, DAILY_CANDLES, stocks)
        fetched = kis.tables.daily_candles(
            codes, first, last, progress_logger(context.log.info, kis.listener)
        )
        if kis.settings.kis_venue is not Venue.NXT:  # NXT may have suspended a listed stock
            _count_as_failed(fetched, stocks, first, last, kis.now())
        refuse_nothing_stored(fetched, f"daily candles of {first:%Y-%m}")
        fetched.rows = _as_final_as_known(fetched.rows, lake.lake, kis.now())
        # Only stocks with bars are replaced, so stored bars that KIS omits now are kept.
        scope = Scope.month(first).of(fetched.rows["stock_code"].unique())
        result = report.store(lake.lake, DAILY_CANDLES, scope, fetched, stocks)
        kis.tables.history_is_stored(first, last)
        return result


def _as_final_as_known(rows: pl.DataFrame, lake: Lake, now: datetime) -> pl.DataFrame:
    """Rows with `is_final` corrected by what the lake knows.

    Prices captured on the day itself confirm or refute the candle of the next morning. The close
    alone is not enough: for one stock in five the after-market ends at the official close. A candle
    is not final while its next session is a day that KIS states as closed.
    """
    final = finality.newest_final_day(now, closed_before(lake, now))
    is_final = pl.col("is_final") & (pl.col("trading_day") <= final)
    unconfirmed = finality.unconfirmed_day(now)
    if unconfirmed is None or unconfirmed > final:
        return rows.with_columns(is_final=is_final)
    prices = {"close": "price", "high": "high", "low": "low"}
    captured = (
        lake.scan(PRICE_SNAPSHOTS, first=unconfirmed, last=unconfirmed)
        # A later capture has the same close, but high and low of the after-market.
        .filter(pl.col("regular_close").is_not_null(), pl.col("session") == "closing_price")
        .sort("captured_at")
        .unique("stock_code", keep="last")
        .select(
            "stock_code",
            "trading_day",
            **{f"{name}_captured": kept for name, kept in prices.items()},
        )
        .collect()
    )
    is_proven = pl.all_horizontal(pl.col(name) == pl.col(f"{name}_captured") for name in prices)
    return (
        rows.join(captured, on=["stock_code", "trading_day"], how="left", maintain_order="left")
        .with_columns(
            is_final=pl.when(pl.col("close_captured").is_null()).then(is_final).otherwise(is_proven)
        )
        .select(rows.columns)
    )


def _count_as_failed(
    fetched: Fetched, stocks: pl.DataFrame, first: date, last: date, now: datetime
) -> None:
    """Count stocks as failed if they have no bar although a session's stock master lists them.

    KIS has a bar for every session of a listed stock, even if it is halted. So an empty answer is
    wrong.
    """
    closed = calendar.closed_session(now).day
    if closed < first:
        return
    listed = stocks.filter(
        pl.col("trading_day").is_between(first, last),
        # KIS knows nothing about a stock that was delisted within the month.
        pl.col("trading_day") == pl.col("trading_day").max(),
        pl.col("listed_on") <= pl.min_horizontal("trading_day", pl.lit(closed)),
    )
    for code in listed["stock_code"]:
        if fetched.absent.get(code) == NO_BAR:
            del fetched.absent[code]
            fetched.failed[code] = UnexpectedAnswer(
                f"KIS has no bar since {first}, although the stock is listed", stock_code=code
            )

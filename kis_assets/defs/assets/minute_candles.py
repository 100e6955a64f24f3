"""Minute candles, which KIS keeps for a limited time."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.availability import refuse_closed, refuse_without_today
from kis_assets.defs.materialization import (
    Report,
    asset_of,
    log_estimate,
    progress_logger,
    refuse_nothing_stored,
)
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.kis.minute_candles import kept_session
from kis_assets.lake.lake import Scope
from kis_assets.tables import MINUTE_CANDLES

# The after-market is for shares of KOSPI and KOSDAQ.
_REGULAR_ONLY = (pl.col("market") == "KONEX") | pl.col("security_type").is_in(
    ["etf", "etn", "foreign_etf"]
)


@asset_of(MINUTE_CANDLES, "candles", pool="kis_history", deps=["stock_master"])
def minute_candles(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's minutes of a day; of the current day up to now."""
    with plain_failures():
        report = Report(kis)
        refuse_without_today(kis.settings, "minutes")
        day = kept_session(date.fromisoformat(context.partition_key), kis.now()).day
        refuse_closed(lake.lake, day)
        stocks = universe.of_month(kis, lake.lake, day, day)
        codes = stocks["stock_code"].to_list()
        regular_only = stocks.filter(_REGULAR_ONLY)["stock_code"].to_list()
        log_estimate(context, kis, MINUTE_CANDLES, stocks)
        fetched = kis.tables.minute_candles(
            codes, day, progress_logger(context.log.info, kis.listener), regular_only
        )
        refuse_nothing_stored(fetched, f"minutes of {day}")
        # All minutes of a stock are replaced together, so that they are adjusted alike. Stocks that
        # KIS omits now keep their stored minutes.
        scope = Scope.day(day).of(fetched.rows["stock_code"].unique())
        result = report.store(lake.lake, MINUTE_CANDLES, scope, fetched, stocks)
        kis.tables.history_is_stored(day, day)
        return result

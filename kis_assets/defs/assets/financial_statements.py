"""Statements of companies as KIS shows them this month (financial_statements)."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.materialization import (
    Report,
    asset_of,
    log_estimate,
    progress_logger,
    refuse_nothing_stored,
)
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.lake.scope import Scope
from kis_assets.tables import FINANCIAL_STATEMENTS


@asset_of(FINANCIAL_STATEMENTS, "fundamentals", pool="kis_history", deps=["stock_master"])
def financial_statements(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Quarters and years of each company. Companies that were fetched this month are skipped."""
    with plain_failures():
        month, today = date.fromisoformat(context.partition_key), kis.now().date()
        if month != today.replace(day=1):
            raise InvalidRequest(
                f"statements are available only for {today:%Y-%m}, not for {month:%Y-%m}; "
                "stored rows are unchanged"
            )
        report = Report(kis)
        stocks = universe.of_day(kis, lake.lake, kis.newest_day())
        # Funds and shell companies publish none.
        stocks = stocks.filter(pl.col("security_type").is_in(["common", "foreign"]))
        stored = lake.lake.scan(FINANCIAL_STATEMENTS, first=month, last=month)
        asked = stored.select(pl.col("stock_code").unique()).collect()["stock_code"]
        left = stocks.filter(~pl.col("stock_code").is_in(asked.implode()))
        log_estimate(context, kis, FINANCIAL_STATEMENTS, left)
        fetched = kis.tables.financial_statements(
            left, month, progress_logger(context.log.info, kis.listener)
        )
        if asked.is_empty():
            refuse_nothing_stored(fetched, f"financial statements of {month:%Y-%m}")
        scope = Scope.month(month).of(fetched.rows["stock_code"].unique())
        return report.store(lake.lake, FINANCIAL_STATEMENTS, scope, fetched, left)

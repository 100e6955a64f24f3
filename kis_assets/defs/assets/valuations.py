"""Current valuations of each stock (valuations), which are not available later."""

from datetime import UTC
from typing import Any

import dagster as dg

from kis_assets.defs import universe
from kis_assets.defs.availability import live_session, refuse_without_today
from kis_assets.defs.materialization import (
    Report,
    asset_of,
    log_estimate,
    progress_logger,
    refuse_nothing_stored,
)
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.lake.scope import Scope
from kis_assets.tables import VALUATIONS


@asset_of(VALUATIONS, "fundamentals", pool="kis_live", deps=["stock_master"])
def valuations(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Current ratios, foreign holding, 52-week extremes and status of each stock."""
    with plain_failures():
        refuse_without_today(kis.settings, "valuations")
        report = Report(kis)
        now = kis.now()
        session = live_session(context.partition_key, now, lake.lake, kis.settings.kis_venue)
        stocks = universe.of_day(kis, lake.lake, session.day)
        log_estimate(context, kis, VALUATIONS, stocks)
        captured_at = now.astimezone(UTC)
        fetched = kis.tables.valuations(
            stocks, session.day, captured_at, progress_logger(context.log.info, kis.listener)
        )
        refuse_nothing_stored(fetched, f"valuations of {session.day}")
        scope = Scope.capture(session.day, captured_at)
        return report.store(lake.lake, VALUATIONS, scope, fetched, stocks)

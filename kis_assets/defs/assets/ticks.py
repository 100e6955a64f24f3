"""Recorded days of the real-time feed, stored after the last trade of the day."""

from datetime import date
from typing import Any

import dagster as dg

from kis_assets.defs.materialization import Report, asset_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar
from kis_assets.lake.scope import Scope
from kis_assets.tables import ORDER_BOOK_TICKS, STREAM_GAPS, TRADES, Table
from kis_assets.ticks import compaction

_SHOWN = 100_000
"""The number of rows from which the page of a day is made."""

_FEED = "real_time_feed"


@asset_of(TRADES, "ticks", deps=[_FEED, "stream_gaps"])
def trades(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """The trades of a day, from its journal."""
    return _stored(context, kis, lake, TRADES, compaction.trades)


@asset_of(ORDER_BOOK_TICKS, "ticks", deps=[_FEED])
def order_book_ticks(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """The order books of a day, from its journal."""
    return _stored(context, kis, lake, ORDER_BOOK_TICKS, compaction.books)


@asset_of(STREAM_GAPS, "ticks", deps=[_FEED])
def stream_gaps(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """The gaps in the journal of a day."""
    return _stored(context, kis, lake, STREAM_GAPS, compaction.gaps)


def _stored(
    context: dg.AssetExecutionContext,
    kis: KISResource,
    lake: LakeResource,
    table: Table,
    pieces: compaction.Pieces,
) -> dg.MaterializeResult[Any]:
    with plain_failures():
        day = date.fromisoformat(context.partition_key)
        session = calendar.session(day)
        if session is None or kis.now() < session.over_at:
            raise InvalidRequest(
                f"trading of {day} is not over; until then the views show recorded rows"
            )
        report = Report(kis)
        try:
            change = compaction.store(lake.lake, table, day, pieces)
        except FileNotFoundError as error:
            raise InvalidRequest(f"{error}; run: kis-assets stream --store") from None
        shown = lake.lake.scan(table, first=day, last=day).head(_SHOWN).collect()
        return report.describe(lake.lake, table, Scope.day(day), change, shown)

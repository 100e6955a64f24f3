"""Captures of live quotes, which are not available later."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs import universe
from kis_assets.defs.availability import live_session, refuse_without_today
from kis_assets.defs.checks.order_books import is_quoted
from kis_assets.defs.materialization import (
    Report,
    asset_of,
    log_estimate,
    progress_logger,
    refuse_nothing_stored,
)
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue, phases, session_at
from kis_assets.lake.lake import Lake, Scope
from kis_assets.sources.tables import Fetched, TableSource
from kis_assets.tables import ORDER_BOOKS, PRICE_SNAPSHOTS, Table
from kis_assets.transport.fan_out import Progress


@asset_of(PRICE_SNAPSHOTS, "quotes", pool="kis_live", deps=["stock_master"])
def price_snapshots(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's current quote. A second capture of a day adds rows."""
    return _capture(context, kis, lake, PRICE_SNAPSHOTS, lambda tables: tables.price_snapshots)


@asset_of(ORDER_BOOKS, "quotes", pool="kis_live", deps=["stock_master"])
def order_books(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """Each stock's current order book. A second capture of a day adds rows."""
    return _capture(context, kis, lake, ORDER_BOOKS, lambda tables: tables.order_books)


_ASKED_FIRST = 10
"""The number of order books that are tried first, before thousands, if the market is closed."""

Fetch = Callable[[pl.DataFrame, date, datetime, Progress], Fetched]


def _capture(
    context: dg.AssetExecutionContext,
    kis: KISResource,
    lake: LakeResource,
    table: Table,
    fetch: Callable[[TableSource], Fetch],
) -> dg.MaterializeResult[Any]:
    """Fetch the current quotes of the universe, and store them as one capture of the day."""
    with plain_failures():
        refuse_without_today(kis.settings, table.name.replace("_", " "))
        captured_at = kis.now()
        venue = kis.settings.kis_venue
        day = live_session(context.partition_key, captured_at, lake.lake, venue).day
        report = Report(kis)
        stocks = universe.of_day(kis, lake.lake, day)
        ask = fetch(kis.tables)
        are_books = "ask_price_1" in table.schema
        session_now = session_at(day, captured_at, venue) if are_books else ""
        if session_now == "closed":
            # A few requests show whether KIS still has books, which is not documented for the time
            # after the last trade. A halted stock never has one.
            few = stocks.sort("is_halted").head(_ASKED_FIRST)
            _refuse_empty(ask(few, day, captured_at, _unseen), captured_at, venue)
        log_estimate(context, kis, table, stocks)
        fetched = ask(stocks, day, captured_at, progress_logger(context.log.info, kis.listener))
        # During trading, empty books are possible: all stocks of the universe may be halted.
        if session_now in ("closed", "closing_price"):
            _refuse_empty(fetched, captured_at, venue)
        if "price" in table.schema:
            kis.source.keep_prices(fetched.rows, captured_at)
        refuse_nothing_stored(fetched, f"{table.name} of {day}")
        # Only KRX shows the official close.
        session = calendar.session(day)
        if "regular_close" in table.schema and venue is Venue.KRX and session is not None:
            fetched.rows = _with_close(fetched.rows, lake.lake, session)
        answered = set(stocks["stock_code"]) - set(fetched.failed)
        scope = Scope.capture(day, captured_at).of(answered)
        return report.store(lake.lake, table, scope, fetched, stocks)


def _refuse_empty(fetched: Fetched, at: datetime, venue: Venue) -> None:
    """Refuse order books without any ask or bid: they would be a useless capture.

    Raises:
        InvalidRequest: nobody quotes at this moment.
    """
    if fetched.rows.is_empty() or fetched.rows.select(is_quoted().any()).item():
        return
    now = at.astimezone(calendar.SEOUL)
    days = (now.date(), calendar.next_trading_day(now.date()))
    opens = [phase.opens_at for day in days for phase in phases(day, venue) if phase.opens_at > now]
    raise InvalidRequest(
        f"nobody quotes at {now:%H:%M} in Seoul: all requested order books are empty, and nothing "
        f"is stored; try again from {min(opens):%Y-%m-%d %H:%M} on"
    )


def _unseen(_completed: int, _total: int, _code: str) -> None:
    """Ignores the progress of the trial requests."""


def _with_close(rows: pl.DataFrame, lake: Lake, session: calendar.Session) -> pl.DataFrame:
    """Quotes with the day's official close, if it is known.

    From ten minutes after the close, when the auction is over, until the after-market opens, the
    price of a quote is the official close. Later it is taken from such a capture of the day.
    """
    is_over = pl.col("fetched_at") >= (session.closes_at + calendar.AUCTION_OVER).astimezone(UTC)
    is_official = is_over
    if session.after_market is not None:
        is_official &= pl.col("fetched_at") < session.after_market[0].astimezone(UTC)
    known = (
        lake.scan(PRICE_SNAPSHOTS, first=session.day, last=session.day)
        .filter(pl.col("regular_close").is_not_null())
        .sort("captured_at")
        .unique("stock_code", keep="last")
        .select("stock_code", known="regular_close")
        .collect()
    )
    close = pl.when(is_official).then("price").when(is_over).then("known")
    return (
        rows.join(known, on="stock_code", how="left", maintain_order="left")
        .with_columns(regular_close=close)
        .select(PRICE_SNAPSHOTS.schema.names())
    )

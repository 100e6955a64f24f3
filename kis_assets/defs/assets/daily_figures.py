"""Assets of daily figures: flows, programmes, short sales, loans, credit, indices, fund values.

They differ only in their tables and requests. This module ensures that no row is stored before it
is final, that no stored day is fetched again, and that no correct row is removed.
"""

from collections.abc import Callable
from datetime import date
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
from kis_assets.kis.daily_figures import DailyService
from kis_assets.lake.closed_days import closed_before, closed_by_kis
from kis_assets.lake.lake import Lake
from kis_assets.lake.scope import Scope
from kis_assets.tables import Table

Listed = Callable[[KISResource, Lake, date, date], pl.DataFrame]
"""Returns the subjects to fetch for a span of days: a column of the table's key, and optionally
`listed_on`."""
Finish = Callable[[pl.DataFrame, Lake, date, date], pl.DataFrame]


def stocks_of(kis: KISResource, lake: Lake, first: date, last: date) -> pl.DataFrame:
    """The stocks of the universe in a span, as rows of `stock_master`."""
    return universe.of_month(kis, lake, first, last)


def daily_figures(
    table: Table,
    service: DailyService,
    group: str,
    listed: Listed = stocks_of,
    *,
    may_lack: bool = False,
    finish: Finish = lambda rows, _lake, _first, _last: rows,
    deps: tuple[str, ...] = (),
) -> dg.AssetsDefinition:
    """The asset of a table of daily figures, by month.

    Args:
        table: the table.
        service: the service of KIS that has its rows.
        group: its group in Dagster.
        listed: returns the subjects to fetch.
        may_lack: whether a subject without any row is normal.
        finish: adds values from the lake to the rows.
        deps: assets whose rows `finish` reads.
    """
    subject = next(name for name in table.key if name not in ("trading_day", "investor"))

    @asset_of(table, group, pool="kis_history", deps=["stock_master", *deps])
    def _asset(
        context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
    ) -> dg.MaterializeResult[Any]:
        with plain_failures():
            report = Report(kis)
            settled = finality.newest_settled_day(
                kis.now(), table.published_after, closed_before(lake.lake, kis.now())
            )
            first, last = month(context.partition_key, settled)
            asked = listed(kis, lake.lake, first, last)
            stored = lake.lake.scan(table, first=first, last=last).collect()
            codes = incomplete(asked, stored, subject, _sessions(lake.lake, first, last))
            log_estimate(context, kis, table, asked.filter(pl.col(subject).is_in(codes)))
            fetched = kis.tables.daily_figures(
                table, service, codes, first, last, progress_logger(context.log.info, kis.listener)
            )
            if not may_lack:
                for code in list(fetched.absent):
                    fetched.failed[code] = UnexpectedAnswer(
                        fetched.absent.pop(code), stock_code=code
                    )
            if stored.is_empty():
                refuse_nothing_stored(fetched, f"{table.name} of {first:%Y-%m}")
            # Stored rows are finished again: candles may have arrived since.
            fetched.rows = merged(stored, fetched.rows, table)
            fetched.rows = finish(fetched.rows, lake.lake, first, last)
            scope = Scope.month(first).of(fetched.rows[subject].unique(), subject)
            stocks = asked if subject == "stock_code" else None
            result = report.store(lake.lake, table, scope, fetched, stocks)
            kis.tables.figures_are_stored(table, first, last)
            return result

    return _asset


def _sessions(lake: Lake, first: date, last: date) -> list[date]:
    closed = closed_by_kis(lake, first, last)
    return [day for day in calendar.known_trading_days(first, last) if day not in closed]


def incomplete(
    asked: pl.DataFrame, stored: pl.DataFrame, subject: str, sessions: list[date]
) -> list[str]:
    """The subjects that lack a row of any of these sessions since their listing, sorted."""
    days = pl.DataFrame({"trading_day": sessions}, schema={"trading_day": pl.Date})
    since = pl.col("listed_on") if "listed_on" in asked.columns else pl.lit(None, pl.Date)
    wanted = (
        asked.select(subject, listed_on=since)
        .join(days, how="cross")
        .filter(pl.col("listed_on").is_null() | (pl.col("listed_on") <= pl.col("trading_day")))
    )
    missing = wanted.join(stored, on=[subject, "trading_day"], how="anti")
    return sorted(missing[subject].unique())


def merged(stored: pl.DataFrame, rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    """The new rows, and the stored rows of days that the new rows do not contain."""
    new_keys = rows.select(set(table.key) - {"investor"}).unique()
    kept = stored.join(new_keys, on=new_keys.columns, how="anti")
    return pl.concat([rows, kept.select(rows.columns)])

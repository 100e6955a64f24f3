"""Dagster metadata of assets: their definitions, and the results of their materializations."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.charts import of_tables
from kis_assets.defs import asset_metadata, universe
from kis_assets.defs.asset_metadata import SHOWN, account_metadata, markdown
from kis_assets.defs.partitions import partitions_of, upstream
from kis_assets.defs.resources import KISResource
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import is_invented
from kis_assets.lake.delta import Published
from kis_assets.lake.delta_table import PublishError
from kis_assets.lake.lake import Change, Lake, Scope
from kis_assets.lake.quality import account, record
from kis_assets.monitoring import costs
from kis_assets.sources.tables import Fetched
from kis_assets.tables import STOCK_MASTER, TABLES, Table
from kis_assets.transport.fan_out import Progress

log = logging.getLogger(__name__)

OWNERS = ["team:market-data"]
_ASKED = {"kis_live": "kis_open_api", "kis_history": "kis_open_api", "krx": "krx_open_api"}
"""The upstream source of the runs in each pool."""
EVERY = 100
FEW = 5
"""The number of stocks named per reason; `quality` has all of them."""


def asset_of(
    table: Table, group: str, *, pool: str | None = None, deps: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """A decorator that makes a function the asset of a table, with its name and description.

    Its upstream assets are `deps` and the source of its pool.
    """
    asked = [_ASKED[pool]] if pool else []
    source = table.own_source or "kis"
    tags = {"source": source, "table": table.name, "domain": group}
    return dg.asset(
        name=table.name,
        partitions_def=partitions_of(table),
        deps=[upstream(it) if it in TABLES else it for it in (*asked, *deps)],
        group_name=group,
        owners=OWNERS,
        kinds={"python", "parquet"} | ({source} if asked else set()),
        tags=tags | ({"live": table.live} if table.live else {}),
        pool=pool,
        description=table.description,
        metadata=_described(table),
    )


def _described(table: Table) -> dict[str, Any]:
    """The column schema with types, units and meanings, for an asset's definition."""
    return {
        "dagster/table_name": table.name,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=column.name,
                    type=str(column.dtype),
                    description=column.description + (f" [{column.unit}]" if column.unit else ""),
                    constraints=dg.TableColumnConstraints(nullable=column.nullable),
                )
                for column in table.columns
            ],
            constraints=dg.TableConstraints(other=[f"key: {', '.join(table.key)}"]),
        ),
    }


def log_estimate(
    context: dg.AssetExecutionContext, kis: KISResource, table: Table, stocks: pl.DataFrame
) -> None:
    """Log how long a fetch will take and why, if it is long."""
    day = date.fromisoformat(context.partition_key)
    if said := costs.estimate([table.name], stocks.height, day, kis.settings):
        context.log.info(f"{table.name} takes {said}")


class Report:
    """One materialization, created before the fetch: stores the rows and returns the metadata."""

    def __init__(self, kis: KISResource) -> None:
        self._started = time.monotonic()
        self._kis = kis
        self._tally = kis.source.tally.part()
        self._account_status = kis.source.account_status

    def store(
        self,
        lake: Lake,
        table: Table,
        scope: Scope,
        found: Fetched | pl.DataFrame,
        stocks: pl.DataFrame | None = None,
    ) -> dg.MaterializeResult[Any]:
        """Store the rows of a scope, and record in `quality` which stocks have none and why.

        Args:
            lake: the lake to write to.
            table: the table of the rows.
            scope: the stored rows that they replace.
            found: the rows, with the failures of a fetch. It is emptied to save memory.
            stocks: rows of `stock_master` of the requested stocks, if stocks were requested.

        Returns:
            Metadata: rows, changes, failures with reasons, requests, duration.
        """
        fetched = found if isinstance(found, Fetched) else Fetched(found)
        gone: list[str] = []
        if stocks is not None:
            fetched.absent = absence_reasons(fetched.absent, stocks, scope)
            gone = universe.delisted(self._kis.settings, lake, stocks)
            fetched.absent |= dict.fromkeys(gone, "delisted")
        # If `quality` is written next, that write publishes both.
        change = lake.replace(table, scope, fetched.rows, publish=not _is_accounted(table))
        asked = fetched if isinstance(found, Fetched) else None
        metadata = self._accounted(lake, table, scope, change, asked)
        if gone:
            metadata["delisted"] = ", ".join(gone)
        if stocks is not None and table.partition == "month":
            said = universe.missing_master_note(self._kis, lake, scope.first, scope.last)
            metadata |= {"universe": said} if said else {}
        metadata["seconds"] = round(time.monotonic() - self._started, 2)
        page = _page(lake, table, scope, fetched, stocks)
        return dg.MaterializeResult(metadata=self._mark() | page | metadata)

    def describe(
        self, lake: Lake, table: Table, scope: Scope, change: Change, shown: pl.DataFrame
    ) -> dg.MaterializeResult[Any]:
        """The result for rows that are stored already; `shown` are some of them."""
        metadata = self._accounted(lake, table, scope, change, None)
        metadata["seconds"] = round(time.monotonic() - self._started, 2)
        page = _page(lake, table, scope, Fetched(shown), None)
        return dg.MaterializeResult(metadata=self._mark() | page | metadata)

    def _mark(self) -> dict[str, Any]:
        """The mark of invented data, which comes before all other entries."""
        if not is_invented(self._kis.source.name):
            return {}
        return {"MOCK DATA": "an invented market; nothing in it is real"}

    def _accounted(
        self, lake: Lake, table: Table, scope: Scope, change: Change, asked: Fetched | None
    ) -> dict[str, Any]:
        """Record the rows of each day in `quality`, publish the unit, and return the metadata."""
        if _is_accounted(table):
            rows = self._rows_of_days(table, scope, change)
            found = asked or Fetched(table.empty())
            record(lake, table, [account(rows, found.absent, found.failed)])
        published = self._published(lake, table, change.unit)
        return self._said(change, asked) | published

    def _published(self, lake: Lake, table: Table, unit: str) -> dict[str, Any]:
        """Publish the unit; the metadata says where, or why not. The rows are stored anyway."""
        url = self._kis.settings.kis_lake_url
        if url is None:
            return {}
        try:
            there = Published(lake, table, url)
            there.bring(unit)
            return {"published": there.address}
        except PublishError as error:
            log.error("not published: %s", error)
            return {"not published": str(error)}

    def _rows_of_days(self, table: Table, scope: Scope, change: Change) -> dict[date, int]:
        last = min(scope.last, self._kis.now().date())
        sessions = calendar.known_trading_days(scope.first, last)
        if "trading_day" not in table.schema:  # facts of a month count for each of its days
            return dict.fromkeys(sessions, change.rows)
        if scope.captured_at is not None:
            return change.days
        # All stored rows count: after a run of a few stocks the day still has the others.
        return dict.fromkeys(sessions, 0) | change.days

    def _said(self, change: Change, fetched: Fetched | None) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "source": self._kis.source.name,
            "dagster/row_count": change.rows,
            "dagster/partition_row_count": change.rows,
            "added": change.added,
            "removed": change.removed,
            "altered": change.altered,
            "unit": change.unit,
        }
        if change.altered or change.removed:
            metadata["changes"] = markdown(change.samples)
        if fetched is not None:
            metadata |= _missing(fetched)
        seconds = time.monotonic() - self._started
        metadata |= self._tally.summary()
        metadata |= account_metadata(self._account_status(), metadata["requests"] / seconds)
        if change.path is not None:
            metadata["path"] = dg.MetadataValue.path(str(change.path))
        return metadata


def _is_accounted(table: Table) -> bool:
    # The tables of years have no stocks to account for.
    return table.partition != "year"


def _page(
    lake: Lake, table: Table, scope: Scope, fetched: Fetched, stocks: pl.DataFrame | None
) -> dict[str, Any]:
    """The picture and the preview, which come before the figures of the run."""
    preview: dict[str, Any] = {}
    picture: dict[str, Any] = {}
    rows = fetched.rows
    # A day has half a million minutes. They are stored; pictures and checks need memory too.
    fetched.rows = rows.clear()
    try:
        names = _newest_names(lake) if stocks is None else stocks
        preview["preview"] = markdown(asset_metadata.preview(table, rows, names))
        if table.chart in of_tables.OF_STORED:
            rows = rows.clear()
        known = names if stocks is None else stocks
        drawn = of_tables.picture(table, rows, known, lake, scope.first, scope.last)
        if drawn is not None:
            if drawn.glance:
                picture["at a glance"] = dg.MetadataValue.md(drawn.glance)
            picture["picture"] = asset_metadata.embedded(drawn.png, f"{table.name}, drawn")
    except Exception as error:
        # The rows are stored: a missing picture must not fail the run.
        dg.get_dagster_logger().warning(f"{table.name}: no picture or preview: {error!r}")
    return picture | preview


def _newest_names(lake: Lake) -> pl.DataFrame | None:
    """The newest stored rows of `stock_master`, for names; None if there are none."""
    units = lake.units(STOCK_MASTER)
    if not units:
        return None
    day, _ = STOCK_MASTER.span(units[-1].partition("=")[2])
    return lake.scan(STOCK_MASTER, first=day).select("stock_code", "stock_name").collect()


def absence_reasons(
    absent: Mapping[str, str], stocks: pl.DataFrame, scope: Scope
) -> dict[str, str]:
    """Why each stock has no row: from its row of `stock_master`, or else from the source."""
    newest = stocks["trading_day"].max()
    known = {
        row["stock_code"]: row
        for row in stocks.iter_rows(named=True)
        if row["stock_code"] in absent
    }

    def why(code: str, reason: str) -> str:
        row = known.get(code)
        if row is None:
            return reason
        if row["listed_on"] is not None and row["listed_on"] > scope.last:
            return "not yet listed"
        if row["trading_day"] != newest:
            return "delisted"
        return "halted" if row["is_halted"] else reason

    return {code: why(code, reason) for code, reason in absent.items()}


def _missing(fetched: Fetched) -> dict[str, Any]:
    metadata: dict[str, Any] = {"failed": len(fetched.failed), "absent": len(fetched.absent)}
    if fetched.failed:
        metadata["failures"] = markdown(
            _reasons({code: error.reason for code, error in fetched.failed.items()})
        )
    if fetched.absent:
        metadata["absences"] = markdown(_reasons(fetched.absent))
    return metadata


def _reasons(by_code: Mapping[str, str]) -> pl.DataFrame:
    """One row per reason, the most common first, with the number of stocks and a few examples."""
    stocks: dict[str, list[str]] = {}
    for code, reason in sorted(by_code.items()):
        stocks.setdefault(reason, []).append(code)
    shown = sorted(stocks.items(), key=lambda item: -len(item[1]))[:SHOWN]
    return pl.DataFrame(
        {
            "reason": [reason for reason, _ in shown],
            "stocks": [len(codes) for _, codes in shown],
            "which": [
                ", ".join(codes[:FEW]) + (", ..." if len(codes) > FEW else "") for _, codes in shown
            ],
        }
    )


def refuse_nothing_stored(fetched: Fetched, what: str) -> None:
    """Fail the run if there is no row at all, with the most common reason.

    Raises:
        KISError: the first failure of the most common type.
    """
    if fetched.rows.is_empty() and fetched.failed:
        kinds = Counter(type(error) for error in fetched.failed.values())
        kind = kinds.most_common(1)[0][0]
        error = next(error for error in fetched.failed.values() if type(error) is kind)
        raise kind(
            f"{what}: nothing could be fetched for {len(fetched.failed)} stocks, nothing is "
            f"stored; the first failure: {error.message}",
            msg_cd=error.msg_cd,
            status=error.status,
        )


def progress_logger(log: Callable[[str], None], listener: Progress | None) -> Progress:
    """A progress callback that logs every 100 stocks and passes progress to the listener."""
    reported = 0

    def report(completed: int, total: int, stock_code: str) -> None:
        nonlocal reported
        reported = min(reported, completed)  # the count restarts with another fetch
        if listener is not None:
            listener(completed, total, stock_code)
        if completed - reported >= EVERY or completed == total:
            reported = completed
            log(f"{completed} of {total} stocks ({stock_code})")

    return report

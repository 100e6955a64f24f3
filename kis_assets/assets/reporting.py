"""What an asset says of itself and of what it has just stored, as Dagster metadata."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.assets import showing
from kis_assets.krx import SEOUL
from kis_assets.lake import Change, Lake
from kis_assets.sources.base import AbstractDataSource, Fetched, Progress
from kis_assets.tables import TABLES, Table

OWNERS = ["team:market-data"]
SHOWN = 20
EVERY = 100


def described(table: Table) -> dict[str, Any]:
    """Column schema with types, units and meanings, for an asset's definition."""
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


def markdown(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small frame as a table people can read in the UI; instants are in Seoul."""
    ends = ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]
    lines = [frame.columns, ends, *([cell(value) for value in row] for row in frame.rows())]
    return dg.MetadataValue.md(
        "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)
    )


def cell(value: object) -> str:
    """A value as people read it: 1,234,567; 1.20; 2026-03-17 15:30; nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return f"{value.astimezone(SEOUL):%Y-%m-%d %H:%M}"
    return str(value)


class Report:
    """The metadata of one materialization: started before the fetch, ended after the write."""

    def __init__(self, source: AbstractDataSource, lake: Lake, log: dg.DagsterLogManager) -> None:
        self._started = time.monotonic()
        self._lake, self._log = lake, log
        self._source = source.name
        self._tally = source.tally.part()

    def result(
        self,
        change: Change,
        fetched: Fetched | None = None,
        *,
        rows: pl.DataFrame | None = None,
        stocks: pl.DataFrame | None = None,
    ) -> dg.MaterializeResult[Any]:
        """Rows, what changed, what failed and why, what was asked, how long it took.

        What is shown is `rows`, else what was fetched; `stocks` are rows of the stock master that
        know names and markets.
        """
        metadata: dict[str, Any] = {}
        if self._source.startswith("mock"):
            metadata["MOCK DATA"] = "an invented market; nothing in it is real"
        metadata |= {
            "source": self._source,
            "dagster/row_count": change.rows,
            "dagster/partition_row_count": change.rows,
            "added": change.added,
            "removed": change.removed,
            "altered": change.altered,
            "unit": change.unit,
        }
        shown = rows if rows is not None or fetched is None else fetched.rows
        if shown is not None:
            metadata |= self._page(TABLES[change.table], shown, stocks)
        if change.altered or change.removed:
            metadata["changes"] = markdown(change.samples)
        if fetched is not None:
            metadata |= _missing(fetched)
        metadata |= self._tally.summary()
        metadata["seconds"] = round(time.monotonic() - self._started, 2)
        if change.path is not None:
            metadata["path"] = dg.MetadataValue.path(str(change.path))
        return dg.MaterializeResult(metadata=metadata)

    def _page(
        self, table: Table, rows: pl.DataFrame, stocks: pl.DataFrame | None
    ) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        try:
            png = showing.picture(table, rows, stocks, self._lake)
            if png is not None:
                metadata["picture"] = showing.embedded(png, f"{table.name}, drawn")
            metadata["preview"] = markdown(showing.preview(table, rows))
        except Exception as error:
            # The rows are stored: a run is not worse for want of a picture.
            self._log.warning(f"{table.name}: no picture or preview: {error!r}")
        return metadata


def _missing(fetched: Fetched) -> dict[str, Any]:
    metadata: dict[str, Any] = {"failed": len(fetched.failed), "absent": len(fetched.absent)}
    if fetched.failed:
        metadata["failures"] = markdown(
            _reasons({code: str(error) for code, error in fetched.failed.items()})
        )
    if fetched.absent:
        metadata["absences"] = markdown(_reasons(fetched.absent))
    return metadata


def _reasons(by_code: Mapping[str, str]) -> pl.DataFrame:
    shown = dict(sorted(by_code.items())[:SHOWN])
    return pl.DataFrame({"stock": list(shown), "reason": list(shown.values())})


def refuse_nothing_stored(fetched: Fetched, what: str) -> None:
    """Fail the run when not one row came, with the commonest reason.

    Raises:
        KISError: the first of the commonest failures.
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


LISTENER: ContextVar[Progress | None] = ContextVar("LISTENER", default=None)
"""Who else wants to know how far a fetch is: the command line's progress bar."""


def logged(log: Callable[[str], None]) -> Progress:
    """A progress callback that writes a line every 100 stocks, and tells the listener."""
    reported = 0
    listener = LISTENER.get()

    def report(completed: int, total: int, stock_code: str) -> None:
        nonlocal reported
        if listener is not None:
            listener(completed, total, stock_code)
        if completed - reported >= EVERY or completed == total:
            reported = completed
            log(f"{completed} of {total} stocks ({stock_code})")

    return report

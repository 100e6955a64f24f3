"""What an asset says of itself and of what it has just stored, as Dagster metadata."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets import krx
from kis_assets.lake import Change
from kis_assets.sources.base import AbstractDataSource, Fetched, Progress
from kis_assets.tables import Table

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
    """A small frame as a table people can read in the UI."""
    cells = [[str(value) if value is not None else "" for value in row] for row in frame.rows()]
    lines = [frame.columns, ["---"] * frame.width, *cells]
    return dg.MetadataValue.md(
        "\n".join(f"| {' | '.join(c.replace('|', '/') for c in line)} |" for line in lines)
    )


class Report:
    """The metadata of one materialization: started before the fetch, ended after the write."""

    def __init__(self, source: AbstractDataSource) -> None:
        self._started = time.monotonic()
        self._source = source.name
        self._tally = source.tally.part()
        self._standing = source.standing

    def result(self, change: Change, fetched: Fetched | None = None) -> dg.MaterializeResult[Any]:
        """Rows, what changed, what failed and why, what was asked, how long it took."""
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
        if change.altered or change.removed:
            metadata["changes"] = markdown(change.samples)
        if fetched is not None:
            metadata |= _missing(fetched)
        seconds = time.monotonic() - self._started
        metadata |= self._tally.summary()
        metadata["seconds"] = round(seconds, 2)
        metadata |= account(self._standing(), metadata["requests"] / seconds)
        if change.path is not None:
            metadata["path"] = dg.MetadataValue.path(str(change.path))
        return dg.MaterializeResult(metadata=metadata)


def account(standing: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """How quota, token, breaker and cache stand after `rate` requests a second, as one entry."""
    if not standing:
        return {}
    if standing["error"]:
        return {"account": standing["error"]}
    accounts, cache = standing["accounts"], standing["cache"]
    limit = sum(facts["rate_limit"] for facts in accounts.values())
    hit_rate = cache.get("hit_rate")
    rows = [
        {
            "app key": name,
            "pace": f"{facts['rate']:.1f} of {facts['rate_limit']:g} a second",
            "used here": f"{rate / limit:.0%}",
            "token": _age(facts["token_asked_at"], facts["token_expires_at"]),
            "breaker": facts["breaker"]
            + (f" for {wait:.0f} s" if (wait := facts["breaker_opens_for"]) else ""),
            "cache hits": "" if hit_rate is None else f"{hit_rate:.0%}",
        }
        for name, facts in accounts.items()
    ]
    return {"account": markdown(pl.DataFrame(rows))}


def _age(asked_at: datetime | None, expires_at: datetime | None) -> str:
    if asked_at is None or expires_at is None:
        return "none"
    old = (datetime.now(UTC) - asked_at).total_seconds() / 3600
    return f"{old:.1f} h old, until {expires_at.astimezone(krx.SEOUL):%Y-%m-%d %H:%M} in Seoul"


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

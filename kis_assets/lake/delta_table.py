"""One Delta table, in the words of `deltalake`: opened, made, counted, rid of old files.

No lake: `delta.py` brings its rows here. Every failure of the storage is a `PublishError`.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from deltalake import DeltaTable

_SINCE = "kis_assets.rememberedSince"
_STORAGE_OPTIONS = {"max_retries": "3", "retry_timeout": "30s"}
"""For a storage that does not answer: a run that publishes must not wait for minutes."""


class PublishError(Exception):
    """A unit could not be published; what was published before is unchanged."""


class Logged(NamedTuple):
    """What the log of a Delta table has of a unit."""

    rows: int
    bytes: int
    at: float
    """When its newest file was written, in seconds since 1970."""


def open_table(address: str) -> DeltaTable | None:
    """The newest version of a table; None where there is none.

    Raises:
        PublishError: the storage fails.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(address, storage_options=_STORAGE_OPTIONS)
    except TableNotFoundError:
        return None
    except Exception as error:  # the library raises exceptions of many trees
        raise failure(address, error) from None


def make_table(address: str, columns: pl.DataFrame, keep_days: int) -> DeltaTable:
    """Make a table without rows, or open the one that another publisher has just made.

    Raises:
        PublishError: the storage fails.
    """
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import CommitFailedError

    try:
        # Where the commit fails, another publisher was faster.
        with suppress(CommitFailedError):
            write_deltalake(
                address,
                arrow(columns, ""),
                mode="ignore",
                partition_by=["unit"],
                configuration=_kept(keep_days),
                storage_options=_STORAGE_OPTIONS,
            )
        return DeltaTable(address, storage_options=_STORAGE_OPTIONS)
    except Exception as error:
        raise failure(address, error) from None


def remember(table: DeltaTable, keep_days: int) -> float:
    """Let the log name a file that gave way for so many days.

    Returns:
        Since when it does, in seconds since 1970; 0 if it always did. What gave way before may be
        forgotten.

    Raises:
        PublishError: the storage fails.
    """
    from deltalake.exceptions import CommitFailedError

    wanted, now = _kept(keep_days), time.time()
    try:
        found = table.metadata().configuration
        if wanted.items() <= found.items():
            return float(found.get(_SINCE, 0))
        # Where the commit fails, another publisher was faster.
        with suppress(CommitFailedError):
            table.alter.set_table_properties(
                wanted | {_SINCE: str(int(now))}, raise_if_not_exists=False
            )
    except Exception as error:
        raise failure(table.table_uri, error) from None
    return now


def _kept(keep_days: int) -> dict[str, str]:
    kept = f"interval {keep_days} days"
    return {f"delta.{name}RetentionDuration": kept for name in ("deletedFile", "log")}


def logged(table: DeltaTable | None) -> dict[str, Logged]:
    """What the log has of each unit that has rows."""
    if table is None:
        return {}
    files = pl.DataFrame(table.get_add_actions(flatten=True))
    found = files.group_by("partition.unit").agg(
        pl.col("num_records").sum(),
        pl.col("size_bytes").sum(),
        pl.col("modification_time").max().dt.timestamp("ms") / 1000,
    )
    return {unit: Logged(*rest) for unit, *rest in found.iter_rows()}


def vacuum(table: DeltaTable, keep_days: int) -> int:
    """Delete files that gave way so long ago, and those that no commit names; return how many.

    Raises:
        PublishError: the storage fails.
    """
    # Full: otherwise only what the log still names is deleted, and a crash is in no log. But what a
    # log forgot too early would be deleted by the age of the file, not of what took its place.
    is_full = time.time() - remember(table, keep_days) >= keep_days * 86_400
    how: dict[str, Any] = {"enforce_retention_duration": False, "full": is_full}
    try:
        if not (doomed := table.vacuum(keep_days * 24, dry_run=True, **how)):
            return 0
        table.vacuum(keep_days * 24, dry_run=False, **how)
        table.create_checkpoint()
        table.cleanup_metadata()
    except Exception as error:
        raise failure(table.table_uri, error) from None
    return len(doomed)


def failure(address: str, error: Exception) -> PublishError:
    """The error in one plain line."""
    # Without the colours of the library, and without the query of an address: a signed one has its
    # secret there.
    plain = re.sub(r"\x1b\[[\d;]*m", "", " ".join(str(error).split()))
    plain = re.sub(r"\?\S+", "?...", plain)[:300]
    return PublishError(f"{address}: {type(error).__name__}: {plain}")


def arrow(rows: pl.DataFrame, unit: str) -> Any:
    """Rows of a unit as Arrow data that every engine reads."""
    import pyarrow as pa

    # Engines that do not know the newer Arrow types of Polars, or texts of more than 2 GB, read the
    # older ones.
    data = rows.with_columns(unit=pl.lit(unit)).to_arrow(compat_level=pl.CompatLevel.oldest())
    plain = [
        it.with_type(pa.string()) if pa.types.is_large_string(it.type) else it for it in data.schema
    ]
    return data.cast(pa.schema(plain))

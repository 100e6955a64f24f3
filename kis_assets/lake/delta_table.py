"""One Delta table, in the words of `deltalake`: opened, made, counted, rid of old files.

No lake: `delta.py` brings its rows here. Every failure of the storage is a `PublishError`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from deltalake import DeltaTable

_SINCE = "kis_assets.rememberedSince"
_FOLDER = "kis_assets, rows of data folder {}"
"""The description of a table. It names the data folder; see `identity.py`."""
_CHECKPOINTS = {"delta.checkpointInterval": "10"}
"""So few commits are read to know what is published; the default is 100."""
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


@contextmanager
def storage_errors(address: str) -> Generator[None]:
    """Raise what the library raises, which has errors of many trees, as a `PublishError`."""
    try:
        yield
    except PublishError:
        raise
    except BaseException as error:
        # A panic of its Rust code is no `Exception`.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise failure(address, error) from None
        raise


def open_table(address: str) -> DeltaTable | None:
    """The newest version of a table; None where there is none.

    Raises:
        PublishError: the storage fails, or another program made the table.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    with storage_errors(address):
        try:
            found = DeltaTable(address, storage_options=_STORAGE_OPTIONS)
        except TableNotFoundError:
            return None
        types = {field.name: str(field.type) for field in found.schema().fields}
        is_ours = found.metadata().partition_columns == ["unit"]
        if not is_ours or types.get("unit") != 'PrimitiveType("string")':
            raise PublishError(
                f"{address}: another program made the table there, which is not partitioned by "
                "unit. Move it away, or set another KIS_LAKE_URL"
            )
        return found


def make_table(address: str, columns: pl.DataFrame, keep_days: int, folder: str) -> DeltaTable:
    """Make a table without rows, or open the one that another publisher has just made.

    Raises:
        PublishError: the storage fails.
    """
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import CommitFailedError

    with storage_errors(address):
        # Where the commit fails, another publisher was faster.
        with suppress(CommitFailedError):
            write_deltalake(
                address,
                arrow(columns, ""),
                mode="ignore",
                partition_by=["unit"],
                configuration=_kept(keep_days) | _CHECKPOINTS,
                description=_FOLDER.format(folder) if folder else None,
                storage_options=_STORAGE_OPTIONS,
            )
        return DeltaTable(address, storage_options=_STORAGE_OPTIONS)


def refuse_other_folder(table: DeltaTable, folder: str) -> None:
    """Refuse a table with the rows of another data folder: the two would overwrite each other.

    Raises:
        PublishError: it is one.
    """
    before, after = _FOLDER.split("{}")
    named = table.metadata().description or ""
    if folder and named.startswith(before) and named != f"{before}{folder}{after}":
        raise PublishError(
            f"{table.table_uri}: another data folder publishes its rows there. Set another "
            "KIS_LAKE_URL; if the data folder was made anew, move the table away"
        )


def remember(table: DeltaTable, keep_days: int) -> float:
    """Let the log name a file that gave way for so many days.

    Returns:
        Since when it does, in seconds since 1970; 0 if it always did. What gave way before may be
        forgotten.

    Raises:
        PublishError: the storage fails.
    """
    from deltalake.exceptions import CommitFailedError

    kept, now = _kept(keep_days), time.time()
    with storage_errors(table.table_uri):
        found = table.metadata().configuration
        since = float(found.get(_SINCE, 0)) if kept.items() <= found.items() else now
        wanted = kept | _CHECKPOINTS
        if not wanted.items() <= found.items():
            # Where the commit fails, another publisher was faster.
            with suppress(CommitFailedError):
                table.alter.set_table_properties(
                    wanted | {_SINCE: str(int(since))}, raise_if_not_exists=False
                )
    return since


def _kept(keep_days: int) -> dict[str, str]:
    kept = f"interval {keep_days} days"
    return {f"delta.{name}RetentionDuration": kept for name in ("deletedFile", "log")}


def logged(table: DeltaTable | None) -> dict[str, Logged]:
    """What the log has of each unit that has rows.

    Raises:
        PublishError: the storage fails.
    """
    if table is None:
        return {}
    with storage_errors(table.table_uri):
        files = pl.DataFrame(table.get_add_actions(flatten=True))
    found = files.group_by("partition.unit").agg(
        pl.col("num_records").sum(),
        pl.col("size_bytes").sum(),
        pl.col("modification_time").max().dt.timestamp("ms") / 1000,
    )
    return {unit: Logged(*rest) for unit, *rest in found.iter_rows()}


def transactions(table: DeltaTable, address: str) -> dict[str, int] | None:
    """The newest version of each application transaction, such as `month=2026-03`.

    The library looks for one at a time, and reads the log anew for each. This reads the newest
    checkpoint and the commits since.

    Returns:
        None if the log is not as this library leaves it.
    """
    log, newest = f"{address}/_delta_log", table.version()
    names = pl.Struct({"appId": pl.String(), "version": pl.Int64()})
    parts, first = list[pl.LazyFrame](), 0
    with suppress(Exception):  # there is none before the first ten commits
        last = pl.scan_ndjson(f"{log}/_last_checkpoint", schema={"version": pl.Int64()})
        number = last.collect().item()
        parts.append(pl.scan_parquet(f"{log}/{number:020}.checkpoint.parquet").select("txn"))
        first = number + 1
    commits = [f"{log}/{version:020}.json" for version in range(first, newest + 1)]
    if commits:
        parts.append(pl.scan_ndjson(commits, schema={"txn": names}))
    try:
        read = [it.select(pl.col("txn").struct.unnest()).collect() for it in parts]
    except Exception:
        return None
    found: dict[str, int] = {}
    for part in read:
        known = part.drop_nulls("appId")
        found |= dict(zip(known["appId"], known["version"], strict=True))
    return found


def vacuum(table: DeltaTable, keep_days: int) -> int:
    """Delete files that gave way so long ago, and those that no commit names; return how many.

    Raises:
        PublishError: the storage fails.
    """
    # Full: otherwise only what the log still names is deleted, and a crash is in no log. But what a
    # log forgot too early would be deleted by the age of the file, not of what took its place.
    is_full = time.time() - remember(table, keep_days) >= keep_days * 86_400
    how: dict[str, Any] = {"enforce_retention_duration": False, "full": is_full}
    with storage_errors(table.table_uri):
        if not (doomed := table.vacuum(keep_days * 24, dry_run=True, **how)):
            return 0
        table.vacuum(keep_days * 24, dry_run=False, **how)
        table.create_checkpoint()
        table.cleanup_metadata()
    return len(doomed)


def failure(address: str, error: BaseException) -> PublishError:
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

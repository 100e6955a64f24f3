"""Delta tables of what the lake holds, in object storage or another folder (`KIS_LAKE_URL`).

`<url>/<source>/<table>` has the table's columns and `unit`, the storage unit as text (`2026`,
`2026-03` or `2026-03-17`), by which it is partitioned. A unit is published as a whole and takes the
place of what it was: to publish it twice changes nothing. The lake stays where it is. No Dagster.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from kis_assets.lake.lake import Lake
from kis_assets.tables import Table


class PublishError(Exception):
    """A unit could not be published; what was published before is as it was."""


def address(url: str, lake: Lake, table: Table) -> str:
    """Where the Delta table of a table lies."""
    root = url.rstrip("/") if urlsplit(url).scheme else str(Path(url).absolute())
    return f"{root}/{lake.source}/{table.name}"


def publish(lake: Lake, table: Table, unit: str, url: str) -> str:
    """Write the current rows of one storage unit, in place of those published of it before.

    Args:
        lake: where the rows are.
        table: their table.
        unit: the storage unit, such as `month=2026-03`.
        url: what `KIS_LAKE_URL` says; credentials come from the environment, as AWS_... and so on.

    Returns:
        The address of the Delta table.

    Raises:
        PublishError: `deltalake` is not installed, or the storage fails.
    """
    try:
        from deltalake import write_deltalake
    except ModuleNotFoundError:
        raise PublishError(
            "KIS_LAKE_URL needs the package deltalake: pip install 'deltalake>=1.6'"
        ) from None
    key = unit.partition("=")[2]
    first, last = table.span(key)
    rows = lake.scan(table, first=first, last=last).collect().with_columns(unit=pl.lit(key))
    target = address(url, lake, table)
    try:
        # Made empty first: a table that is not there has no partition to take the place of.
        write_deltalake(target, rows.clear(), mode="ignore", partition_by=["unit"])
        write_deltalake(
            target, rows, mode="overwrite", predicate=f"unit = '{key}'", schema_mode="merge"
        )
    except Exception as error:  # the library raises exceptions of many trees
        raise PublishError(f"{target}: {type(error).__name__}: {_plain(error)}") from None
    return target


def _plain(error: Exception) -> str:
    """What went wrong, without the query of an address: a signed one has its secret there."""
    return re.sub(r"\?\S+", "?...", " ".join(str(error).split()))[:300]

"""Copies of the lake as Delta tables, in object storage or another folder (`KIS_LAKE_URL`).

`<url>/<source>/<table>` has the table's columns and the partition column `unit`, the storage unit
as text (`2026`, `2026-03` or `2026-03-17`). A unit is published as a whole and replaces the unit
published before: a repetition changes nothing. The lake itself is not changed. No Dagster.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from kis_assets.lake.lake import Lake
from kis_assets.tables import Table


class PublishError(Exception):
    """A unit could not be published; what was published before is unchanged."""


def address(url: str, lake: Lake, table: Table) -> str:
    """The address of a table's Delta table."""
    root = url.rstrip("/") if urlsplit(url).scheme else str(Path(url).absolute())
    return f"{root}/{lake.source}/{table.name}"


def publish(lake: Lake, table: Table, unit: str, url: str) -> str:
    """Write the current rows of one storage unit, replacing those published before.

    Args:
        lake: the lake with the rows.
        table: their table.
        unit: the storage unit, such as `month=2026-03`.
        url: the value of `KIS_LAKE_URL`; credentials come from the environment, such as AWS_...

    Returns:
        The address of the Delta table.

    Raises:
        PublishError: `deltalake` is not installed, or the storage fails.
    """
    try:
        from deltalake import write_deltalake
    except ModuleNotFoundError:
        raise PublishError(
            "KIS_LAKE_URL needs the package deltalake: pip install 'kis-assets[delta]'"
        ) from None
    key = unit.partition("=")[2]
    first, last = table.span(key)
    rows = lake.scan(table, first=first, last=last).collect().with_columns(unit=pl.lit(key))
    target = address(url, lake, table)
    try:
        # Create an empty table first: a missing table has no partition to replace.
        write_deltalake(target, rows.clear(), mode="ignore", partition_by=["unit"])
        write_deltalake(
            target, rows, mode="overwrite", predicate=f"unit = '{key}'", schema_mode="merge"
        )
    except Exception as error:  # the library raises many unrelated exceptions
        raise PublishError(f"{target}: {type(error).__name__}: {_plain(error)}") from None
    return target


def _plain(error: Exception) -> str:
    """The error text without the query of an address: signed addresses have their secret there."""
    return re.sub(r"\?\S+", "?...", " ".join(str(error).split()))[:300]

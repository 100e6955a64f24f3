"""Parquet files of one table's rows: written, and read whatever columns they were written under."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.lake.damaged_files import damaged, is_whole
from kis_assets.lake.scope import LakeError, order_of
from kis_assets.tables import Column, Table


def write(table: Table, rows: pl.DataFrame, path: Path) -> None:
    """Make a file of these rows, with the meaning of its columns in it."""
    rows.write_parquet(
        path,
        compression="zstd",
        compression_level=3,
        metadata={"table": table.name, "description": table.description},
        arrow_schema=_arrow_schema(table),
    )


def scan(table: Table, paths: list[Path]) -> pl.LazyFrame:
    """The rows of these files under the columns of today.

    Raises:
        LakeError: one of them is damaged.
    """
    if odd := next((path for path in paths if not is_whole(path)), None):
        raise LakeError(f"{table.name}: {damaged(odd)}")
    of_today = ending(table)
    current = [path for path in paths if path.name.endswith(of_today)]
    older = [path for path in paths if not path.name.endswith(of_today)]
    # The versions lie in folders named month=2026-03, which is no column of theirs.
    frames = [
        _conform(table, pl.scan_parquet(path, glob=False, hive_partitioning=False))
        for path in older
    ]
    if current:
        # The schema is stated, so that no file is opened before the query runs.
        frames.append(
            pl.scan_parquet(current, schema=table.schema, glob=False, hive_partitioning=False)
        )
    return pl.concat(frames) if frames else table.empty().lazy()


def load(table: Table, path: Path | None) -> pl.DataFrame:
    """The rows of a file in the order of the table; see `scan`."""
    if path is None:
        return table.empty()
    return scan(table, [path]).collect().sort(order_of(table))


def _conform(table: Table, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows stored under older columns of a table, under those of today."""
    there = rows.collect_schema()

    def value(column: Column) -> pl.Expr:
        if column.name in there:
            return pl.col(column.name)
        return pl.lit(None) if column.before is None else pl.sql_expr(column.before())

    return rows.select(
        value(column).cast(column.dtype).alias(column.name) for column in table.columns
    )


def tag(table: Table) -> str:
    """What tells files written under other columns or types apart, without opening them."""
    text = json.dumps([(name, str(dtype)) for name, dtype in table.schema.items()])
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def ending(table: Table) -> str:
    """How the names of files end that have the columns of today."""
    return f"-{tag(table)}.parquet"


def _arrow_schema(table: Table) -> Any:
    # pyarrow takes long to import, and readers have no need of it.
    import pyarrow as pa

    plain = table.empty().to_arrow().schema
    meanings = {
        column.name: {"description": column.description, "unit": column.unit}
        for column in table.columns
    }
    return pa.schema([field.with_metadata(meanings[field.name]) for field in plain])

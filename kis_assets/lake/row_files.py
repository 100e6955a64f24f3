"""Writes Parquet files of one table's rows, and reads files of all its earlier columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.lake.damaged_files import damaged, is_whole
from kis_assets.lake.scope import LakeError, order_of
from kis_assets.tables import Table

# The schema is always given, so that no file is opened before the query runs. Folder names such as
# month=2026-03 are not columns.
_PLAIN: dict[str, Any] = {"glob": False, "hive_partitioning": False}
# A column may change from whole numbers to fractions. For any other change of type it gets a new
# name, with its former value in `before`.
_WIDER = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"],
    float_cast="upcast",
    datetime_cast=["nanosecond-downcast", "convert-timezone"],
)


def write(table: Table, rows: pl.DataFrame, path: Path) -> None:
    """Write a file of these rows, including the meaning of its columns."""
    rows.write_parquet(
        path,
        compression="zstd",
        compression_level=3,
        metadata={"table": table.name, "description": table.description},
        arrow_schema=_arrow_schema(table),
    )


def write_pieces(table: Table, pieces: Iterable[pl.DataFrame], path: Path) -> None:
    """Write a file of rows that come piece by piece, as one row group each; see `write`."""
    from pyarrow.parquet import ParquetWriter

    schema = _arrow_schema(table)
    about = {"table": table.name, "description": table.description}
    with ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
        writer.add_key_value_metadata(about)
        for rows in pieces:
            writer.write_table(rows.to_arrow().cast(schema))


def scan(table: Table, paths: list[Path]) -> pl.LazyFrame:
    """The rows of these files in today's columns.

    Raises:
        LakeError: one of them is damaged.
    """
    if odd := next((path for path in paths if not is_whole(path)), None):
        raise LakeError(f"{table.name}: {damaged(odd)}")
    of_today = ending(table)
    current = [path for path in paths if path.name.endswith(of_today)]
    older = [path for path in paths if not path.name.endswith(of_today)]
    frames = [_older(table, older)] if older else []
    if current:
        frames.append(pl.scan_parquet(current, schema=table.schema, **_PLAIN))
    return pl.concat(frames) if frames else table.empty().lazy()


def load(table: Table, path: Path | None) -> pl.DataFrame:
    """The rows of a file in the order of the table; see `scan`."""
    if path is None:
        return table.empty()
    return scan(table, [path]).collect().sort(order_of(table))


def _older(table: Table, paths: list[Path]) -> pl.LazyFrame:
    """Rows that were stored in other columns of a table, in today's columns."""
    rows = pl.scan_parquet(
        paths,
        schema=table.schema,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=_WIDER,
        **_PLAIN,
    )
    # Polars fills a new column with nulls; its former value follows from other columns.
    return rows.with_columns(
        pl.coalesce(column.name, pl.sql_expr(column.default_sql()))
        for column in table.columns
        if column.default_sql is not None
    )


def tag(table: Table) -> str:
    """A tag of columns and types in file names, to recognize older files without opening them."""
    text = json.dumps([(name, str(dtype)) for name, dtype in table.schema.items()])
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def ending(table: Table) -> str:
    """The end of the names of files with today's columns."""
    return f"-{tag(table)}.parquet"


def _arrow_schema(table: Table) -> Any:
    # pyarrow is slow to import, and readers do not need it.
    import pyarrow as pa

    plain = table.empty().to_arrow().schema
    meanings = {
        column.name: {"description": column.description, "unit": column.unit}
        for column in table.columns
    }
    return pa.schema([field.with_metadata(meanings[field.name]) for field in plain])

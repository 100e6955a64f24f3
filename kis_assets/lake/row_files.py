"""Parquet files of one table's rows: written, and read whatever columns they were written under."""

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

# The schema is always stated, so that no file is opened before the query runs. The versions lie in
# folders named month=2026-03, which is no column of theirs.
_PLAIN: dict[str, Any] = {"glob": False, "hive_partitioning": False}
# A column may become wider: whole numbers fractions. One whose type changes otherwise is a new
# column under another name, with what it was `before`.
_WIDER = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"],
    float_cast="upcast",
    datetime_cast=["nanosecond-downcast", "convert-timezone"],
)


def write(table: Table, rows: pl.DataFrame, path: Path) -> None:
    """Make a file of these rows, with the meaning of its columns in it."""
    rows.write_parquet(
        path,
        compression="zstd",
        compression_level=3,
        metadata={"table": table.name, "description": table.description},
        arrow_schema=_arrow_schema(table),
    )


def write_pieces(table: Table, pieces: Iterable[pl.DataFrame], path: Path) -> None:
    """Make a file of rows that come piece by piece, a group of rows each; see `write`."""
    from pyarrow.parquet import ParquetWriter

    schema = _arrow_schema(table)
    about = {"table": table.name, "description": table.description}
    with ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
        writer.add_key_value_metadata(about)
        for rows in pieces:
            writer.write_table(rows.to_arrow().cast(schema))


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
    """Rows that were stored under other columns of a table, under those of today."""
    rows = pl.scan_parquet(
        paths,
        schema=table.schema,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=_WIDER,
        **_PLAIN,
    )
    # Polars puts nulls into a new column; what it was before follows from others.
    return rows.with_columns(
        pl.coalesce(column.name, pl.sql_expr(column.before()))
        for column in table.columns
        if column.before is not None
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

"""The output of a command as a file: Parquet, CSV, or an Excel sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

import duckdb
import polars as pl
import polars.selectors as cs

from kis_assets.cli.ending import stop
from kis_assets.cli.output import csv_text
from kis_assets.lake.queries import Column
from kis_assets.security.ownership import take_place

_MOST = 1_048_575
"""The maximum number of rows in a sheet, without its header."""
_AS_TEXT = ("INTERVAL", "UUID")
_FILED = {"HUGEINT": "BIGINT", '"NULL"': "INTEGER", **dict.fromkeys(_AS_TEXT, "VARCHAR")}
"""Types in files that replace DuckDB types which few programs can read."""


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows to a file atomically; an existing file is replaced.

    Codes are text and keep their zeros; days are dates. Excel has no time zones, so instants are
    local time in Seoul there.

    Raises:
        OSError: it cannot be written.
        typer.Exit: a sheet cannot have so many rows, or two columns have the same name.
    """
    kind = path.suffix.lower()
    if kind == ".xlsx" and len(rows) > _MOST:
        raise stop(f"{len(rows):,} rows are too many for an Excel sheet: write .parquet")
    path = path.resolve()  # write the target of a link and keep the link
    # In the same folder, so that it can replace the file in one step.
    with NamedTemporaryFile(dir=path.parent, suffix=f".{os.getpid()}.new", delete=False) as file:
        aside = Path(file.name)
    try:
        if kind == ".csv":
            aside.write_text(csv_text(columns, rows, mark="\ufeff"), encoding="utf-8", newline="")
        elif kind == ".parquet":
            _frame(columns, rows).write_parquet(aside)
        else:
            _write_sheet(aside, columns, rows)
        mask = os.umask(0)
        os.umask(mask)
        aside.chmod(0o666 & ~mask)
        take_place(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    names = list(dict.fromkeys(columns))
    if len(names) < len(columns):
        raise stop("two columns have the same name: give each its own name with AS")
    kinds = {name: _FILED.get(name.kind, name.kind) for name in columns if isinstance(name, Column)}
    typed: dict[str, pl.DataType] = {}
    if kinds:
        nulls = ", ".join(f"NULL::{kind}" for kind in kinds.values())
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'Asia/Seoul'")
            typed = dict(zip(kinds, connection.sql(f"SELECT {nulls}").pl().dtypes, strict=True))
    if any(name.kind in _AS_TEXT for name in kinds):
        rows = [
            [str(cell) if isinstance(cell, timedelta | UUID) else cell for cell in row]
            for row in rows
        ]
    schema = {name: typed.get(name) for name in names}
    return pl.DataFrame(rows, schema, orient="row", infer_schema_length=None)


def _write_sheet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    instants = cs.datetime(time_zone="*")
    _frame(columns, rows).with_columns(instants.dt.replace_time_zone(None)).write_excel(
        path,
        autofit=True,
        dtype_formats={pl.Date: "yyyy-mm-dd", pl.Datetime: "yyyy-mm-dd hh:mm:ss"},
        freeze_panes=(1, 0),
    )

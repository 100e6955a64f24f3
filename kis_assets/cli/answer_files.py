"""The output of a command as a file: Parquet, CSV, or an Excel sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import polars as pl

from kis_assets.cli.ending import stop
from kis_assets.cli.output import csv_text
from kis_assets.security.ownership import take_place

_MOST = 1_048_575
"""The maximum number of rows in a sheet, without its header."""


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows to a file atomically; an existing file is replaced.

    Codes are text and keep their zeros; days are dates. Excel has no time zones, so instants are
    local time in Seoul there.

    Raises:
        OSError: it cannot be written.
        typer.Exit: a sheet cannot have so many rows, or the package for sheets is missing.
    """
    kind = path.suffix.lower()
    if kind == ".xlsx" and len(rows) > _MOST:
        raise stop(f"{len(rows):,} rows are too many for an Excel sheet: write .parquet")
    if path.is_dir():
        raise stop(f"{path} is a folder: name a file")
    path = path.resolve()  # write the target of a link and keep the link
    if not path.parent.is_dir():
        raise stop(f"{path.parent} is not a folder: make it first")
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
    return pl.DataFrame(rows, names, orient="row", infer_schema_length=None)


def _write_sheet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    try:
        import xlsxwriter  # noqa: F401  # type: ignore[import-not-found]
    except ImportError:
        raise stop("an Excel sheet needs another package: pip install xlsxwriter") from None
    plain = [
        [cell.replace(tzinfo=None) if isinstance(cell, datetime) else cell for cell in row]
        for row in rows
    ]
    _frame(columns, plain).write_excel(
        path,
        autofit=True,
        dtype_formats={pl.Date: "yyyy-mm-dd", pl.Datetime: "yyyy-mm-dd hh:mm:ss"},
        freeze_panes=(1, 0),
    )

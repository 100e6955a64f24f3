"""The SQL of market.duckdb: macros and views over the files of the lake, without rows.

To add a view, add a file to `sql/`; see `views.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import polars as pl

from kis_assets.lake.scope import order_of, year_of
from kis_assets.lake.views import FUNCTIONS, MACROS, VIEWS, meaning
from kis_assets.tables import ADJUSTMENT_FACTORS, DAILY_CANDLES, TABLES, Column, Table

# DuckDB 1.2 and all later versions open this format; 1.x cannot open the format of 2.0.
STORAGE_VERSION = "v1.2.0"

# How many of the newest units `recent_<table>()` reads: 13 months hold 252 sessions.
RECENT_UNITS = {"day": 10, "month": 14, "year": 3}

_TYPES: dict[pl.DataType, str] = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.Boolean(): "BOOLEAN",
    pl.Date(): "DATE",
    pl.Datetime("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}

# The path of a file in the folder of `market.duckdb`, and whether it has today's columns of the
# table; None if it is damaged.
Listed = tuple[str, bool | None]
# For each table with rows, its current files, oldest unit first.
Files = Mapping[str, Sequence[Listed]]

# What the folders of sources are called; see `Settings.source_name`.
_OF_A_SOURCE = r"((?:simulated_)?(?:kis|krx)|mock)(-\w+)?"


def statements(
    files: Files, folder: Path | None = None, larger: Files | None = None
) -> dict[str, list[str]]:
    """The SQL of every macro and view, by name; equal for equal files.

    Args:
        files: the files that the views read.
        folder: the absolute folder of the files; may be None without files.
        larger: files with the same rows, which views of whole tables read instead; see
            `compaction`.
    """
    where = _folder_sql(folder or Path())
    macros = MACROS | {"factors_are_made()": _factors_are_made(files)}
    for name in sorted(set[str]().union(*(view.recent for view in VIEWS.values()))):
        newest = files.get(name, ())[-RECENT_UNITS[TABLES[name].unit] :]
        macros[f"recent_{name}()"] = f"TABLE {_rows(TABLES[name], newest, where)}"
    made = {name: [f"CREATE OR REPLACE MACRO {name} AS {sql}"] for name, sql in macros.items()}
    for table in TABLES.values():
        rows = _rows(table, (larger or files).get(table.name, ()), where)
        columns = {column.name: meaning(column) for column in table.columns}
        made[table.name] = _view_statements(table.name, rows, table.description, columns)
    for name, view in VIEWS.items():
        made[name] = _view_statements(name, view.sql, view.about, view.columns)
    for name, sql in FUNCTIONS.items():
        made[name] = [f"CREATE OR REPLACE MACRO {name} AS TABLE {sql}"]
    return made


def in_order(table: Table, files: Sequence[Listed], folder: Path) -> str:
    """The query for the rows of these files in stored order."""
    columns = ", ".join(map(_name, order_of(table)))
    return f"{_rows(table, files, _text(f'{folder}/'))} ORDER BY {columns}"


def _view_statements(view: str, sql: str, about: str, columns: Mapping[str, str]) -> list[str]:
    """The statements that create a view and its comments."""
    return [
        f"CREATE OR REPLACE VIEW {_name(view)} AS {sql}",
        f"COMMENT ON VIEW {_name(view)} IS {_text(about)}",
        *(_comment(view, name, text) for name, text in columns.items()),
    ]


def build(path: Path, views: Mapping[str, Sequence[str]]) -> None:
    """Create these views and macros in the DuckDB file `path`, which is created if necessary.

    Raises:
        duckdb.Error: the disk is full, the file is broken, or a view is wrong.
    """
    # One thread and few calls: most of the time is overhead of five hundred statements.
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(
            f"ATTACH {_text(str(path))} AS market (STORAGE_VERSION {_text(STORAGE_VERSION)})"
        )
        connection.execute("USE market")
        connection.execute("BEGIN")
        connection.execute(";".join(statement for sql in views.values() for statement in sql))
        connection.execute("COMMIT")
        connection.execute("USE memory")
        connection.execute("DETACH market")


def _folder_sql(folder: Path) -> str:
    """SQL for the folder of the files, ending in a slash; DuckDB evaluates it when it binds.

    A view cannot read the path of its own database. But by default, the directory for temporary
    files is named after the opened database: `market.duckdb.tmp` beside it. If `market.duckdb` is
    attached to another database, it uses the folder for which it was built. The variable
    `kis_assets_folder` has priority over both; it is set when a copy of `market.duckdb` is read. A
    file that is found always has the right rows: version names are unique, and versions never
    change.
    """
    temporary = "current_setting('temp_directory')"
    opened = rf"regexp_extract({temporary}, '^(.*[/\\])market\.duckdb\.tmp$', 1)"
    if re.fullmatch(_OF_A_SOURCE, folder.name):
        # This database may be attached to that of another source, whose folder is beside this one.
        other = rf"([/\\]){_OF_A_SOURCE}([/\\])$"
        opened = rf"regexp_replace({opened}, '{other}', '\1{folder.name}\4')"
    built = _text(f"{folder}/")
    return f"coalesce(getvariable('kis_assets_folder') || '/', nullif({opened}, ''), {built})"


def _rows(table: Table, files: Sequence[Listed], where: str) -> str:
    today = [path for path, is_current in files if is_current]
    older = [path for path, is_current in files if is_current is False]
    damaged = [path for path, is_current in files if is_current is None]
    columns = ", ".join(_name(column.name) for column in table.columns)
    parts: list[str] = []
    if today:
        parts.append(f"SELECT {columns} FROM {_read(today, where)}")  # noqa: S608
    if older:
        # Older files lack newer columns; dropped columns are left out.
        stored = f"SELECT * FROM {_read(older, where, by_name=True)}"  # noqa: S608
        every = f"{_no_rows(table)} UNION ALL BY NAME {stored}"
        cast = ", ".join(
            f"CAST({_older(column)} AS {_TYPES[column.dtype]}) AS {_name(column.name)}"
            for column in table.columns
        )
        parts.append(f"SELECT {cast} FROM ({every})")  # noqa: S608
    # Fail if a file is damaged: fewer rows would look like all rows.
    parts += [_no_rows(table, unless=_failure(path, where)) for path in damaged]
    return " UNION ALL ".join(parts) or _no_rows(table)


def _factors_are_made(files: Files) -> str:
    """SQL that is true, and fails if a year has candles but no adjustment factors.

    Factors are made before a catalog. But an old folder without factors may be read-only.
    """
    years = {
        table: {year_of(path) for path, _ in files.get(table, ())}
        for table in (DAILY_CANDLES.name, ADJUSTMENT_FACTORS.name)
    }
    if not (without := years[DAILY_CANDLES.name] - years[ADJUSTMENT_FACTORS.name]):
        return "true"
    listed = ", ".join(map(str, sorted(without)))
    said = f"no adjustment_factors of {listed} are stored; run: kis-assets run"
    return f"CAST(error({_text(said)}) AS BOOLEAN)"


def _failure(path: str, where: str) -> str:
    quote, rest = _text("'"), _text("' is damaged")
    return f"CAST(error({quote} || {where} || {_text(path)} || {rest}) AS BOOLEAN)"


def _older(column: Column) -> str:
    """A column's value in files that may be older than the column."""
    if column.default_sql is None:
        return _name(column.name)
    return f"coalesce({_name(column.name)}, {column.default_sql()})"


def _no_rows(table: Table, unless: str = "false") -> str:
    typed = ", ".join(
        f"CAST(NULL AS {_TYPES[column.dtype]}) AS {_name(column.name)}" for column in table.columns
    )
    return f"SELECT {typed} WHERE {unless}"


def _read(paths: Sequence[str], where: str, *, by_name: bool = False) -> str:
    # The versions lie in folders such as month=2026-03: hive detection would add a column.
    listed = ", ".join(_text(path) for path in paths)
    union = ", union_by_name = true" if by_name else ""
    absolute = f"[{where} || name for name in [{listed}]]"
    return f"read_parquet({absolute}, hive_partitioning = false{union})"


def _comment(view: str, column: str, text: str) -> str:
    return f"COMMENT ON COLUMN {_name(view)}.{_name(column)} IS {_text(text)}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

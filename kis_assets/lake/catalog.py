"""market.duckdb: nothing but views over the files of the lake. No locks, no renames: see lake.py.

To add a view, add its SQL to `views.VIEWS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import polars as pl

from kis_assets.lake.views import VIEWS
from kis_assets.tables import TABLES, Column, Table

# DuckDB 1.2 and everything after it opens this; the format of 2.0 cannot be opened by 1.x.
STORAGE_VERSION = "v1.2.0"

# How many of the newest units `recent(table)` reads.
RECENT_UNITS = 10

_TYPES: dict[pl.DataType, str] = {
    pl.String(): "VARCHAR",
    pl.Int64(): "BIGINT",
    pl.Float64(): "DOUBLE",
    pl.Boolean(): "BOOLEAN",
    pl.Date(): "DATE",
    pl.Datetime("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}

# The path of one file in the folder of `market.duckdb`, and whether it was written with the columns
# the table has today; None where it is damaged.
Listed = tuple[str, bool | None]
# For each table that has rows, its current files, oldest unit first.
Files = Mapping[str, Sequence[Listed]]

# What the folders of sources are called; see `Settings.source_name`.
_OF_A_SOURCE = r"(kis|krx|mock)(-\w+)?"


def statements(files: Files, folder: Path | None = None) -> dict[str, list[str]]:
    """The SQL of every view by its name: what makes it, then comments; the same for the same files.

    Args:
        files: what the views read.
        folder: where the files lie, absolute; may be None when there are none.
    """
    where = _where(folder or Path())
    made: dict[str, list[str]] = {}
    for table in TABLES.values():
        rows = _rows(table, files.get(table.name, ()), where)
        made[table.name] = [
            f"CREATE OR REPLACE VIEW {_name(table.name)} AS {rows}",
            f"COMMENT ON VIEW {_name(table.name)} IS {_text(table.description)}",
            *(_comment(table.name, column) for column in table.columns),
        ]
    for name, sql in VIEWS.items():
        notes, body = _split(sql)
        made[name] = [
            f"CREATE OR REPLACE VIEW {_name(name)} AS {_with_recent(body, files, where)}",
            f"COMMENT ON VIEW {_name(name)} IS {_text(notes)}",
        ]
    return made


def build(path: Path, views: Mapping[str, Sequence[str]]) -> None:
    """Make these views in the DuckDB file `path`, made when it is not there, and close it.

    Raises:
        duckdb.Error: the disk is full, the file is broken, or a view is wrong.
    """
    # One thread and few calls: most of the time goes into starting five hundred statements.
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(
            f"ATTACH {_text(str(path))} AS market (STORAGE_VERSION {_text(STORAGE_VERSION)})"
        )
        connection.execute("USE market")
        connection.execute("BEGIN")
        connection.execute(";".join(statement for sql in views.values() for statement in sql))
        comments = [
            comment
            for name in views.keys() & VIEWS.keys()
            for comment in _derived_comments(connection, name, VIEWS[name])
        ]
        connection.execute(";".join(comments))
        connection.execute("COMMIT")
        connection.execute("USE memory")
        connection.execute("DETACH market")


def _where(folder: Path) -> str:
    """SQL for the folder that holds the files, ending in a slash; DuckDB knows it when it binds.

    A view cannot ask for the path of its own database. But unless somebody sets another, the
    directory for temporary files is named after the database that was opened: `market.duckdb.tmp`,
    beside it. Attached to another database, `market.duckdb` cannot tell where it lies, and takes
    the folder it was built for. The variable `kis_assets_folder` goes before both: it is set where
    a copy of `market.duckdb` is read. Wherever a file is found, its rows are the right ones: no two
    versions share a name, and none is ever changed.
    """
    temporary = "current_setting('temp_directory')"
    opened = rf"regexp_extract({temporary}, '^(.*[/\\])market\.duckdb\.tmp$', 1)"
    if re.fullmatch(_OF_A_SOURCE, folder.name):
        # That of another source may be open, and this one attached to it: they lie side by side.
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
        # A column that came later is not in files from before; one that was dropped is left out.
        stored = f"SELECT * FROM {_read(older, where, by_name=True)}"  # noqa: S608
        every = f"{_nothing(table)} UNION ALL BY NAME {stored}"
        cast = ", ".join(
            f"CAST({_older(column)} AS {_TYPES[column.dtype]}) AS {_name(column.name)}"
            for column in table.columns
        )
        parts.append(f"SELECT {cast} FROM ({every})")  # noqa: S608
    # Who asks is told: fewer rows than there are would look like all.
    parts += [_nothing(table, unless=_failure(path, where)) for path in damaged]
    return " UNION ALL ".join(parts) or _nothing(table)


def _failure(path: str, where: str) -> str:
    quote, rest = _text("'"), _text("' is damaged")
    return f"CAST(error({quote} || {where} || {_text(path)} || {rest}) AS BOOLEAN)"


def _older(column: Column) -> str:
    """A column's value in files that may have been written before there was the column."""
    if column.before is None:
        return _name(column.name)
    return f"coalesce({_name(column.name)}, {column.before()})"


def _nothing(table: Table, unless: str = "false") -> str:
    typed = ", ".join(
        f"CAST(NULL AS {_TYPES[column.dtype]}) AS {_name(column.name)}" for column in table.columns
    )
    return f"SELECT {typed} WHERE {unless}"


def _read(paths: Sequence[str], where: str, *, by_name: bool = False) -> str:
    # The versions lie in folders named month=2026-03: left on, hive detection would add a column.
    listed = ", ".join(_text(path) for path in paths)
    union = ", union_by_name = true" if by_name else ""
    absolute = f"[{where} || name for name in [{listed}]]"
    return f"read_parquet({absolute}, hive_partitioning = false{union})"


def _with_recent(sql: str, files: Files, where: str) -> str:
    def newest(found: re.Match[str]) -> str:
        table = TABLES[found.group(1)]
        return f"({_rows(table, files.get(table.name, ())[-RECENT_UNITS:], where)})"

    return re.sub(r"\brecent\((\w+)\)", newest, sql)


def _split(sql: str) -> tuple[str, str]:
    lines = [line.strip() for line in sql.strip().splitlines()]
    notes = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
    return " ".join(notes), "\n".join(line for line in lines if not line.startswith("--"))


def _comment(view: str, column: Column) -> str:
    unit = f" [{column.unit}]" if column.unit else ""
    where = f"{_name(view)}.{_name(column.name)}"
    return f"COMMENT ON COLUMN {where} IS {_text(column.description + unit)}"


def _derived_comments(connection: duckdb.DuckDBPyConnection, view: str, sql: str) -> list[str]:
    """A column that keeps its name in a derived view keeps its meaning too."""
    words = set(re.findall(r"\w+", sql))
    known = {
        column.name: column
        for name, table in TABLES.items()
        if name in words
        for column in table.columns
    }
    described = connection.execute(f"DESCRIBE {_name(view)}").fetchall()
    return [_comment(view, known[name]) for name, *_ in described if name in known]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

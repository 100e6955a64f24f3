"""docs/tables.md: every table and view, made from `tables.py` and the comments of the catalog."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import duckdb

from kis_assets.lake import catalog
from kis_assets.tables import TABLES, Table

_HEAD = """\
# Tables and views

Made from the code by `kis-assets docs > docs/tables.md`: change `kis_assets/tables.py` or
`kis_assets/lake/sql/`, not this page. The same words stand as comments in `market.duckdb`
(`SELECT column_name, comment FROM duckdb_columns()`).

Prices are whole KRW (원). Days are days in Seoul; instants (`TIMESTAMP WITH TIME ZONE`) are stored
in UTC. How to read it all: [analysts.md](analysts.md).
"""

_Columns = dict[str, list[tuple[str, str, str]]]


def page() -> str:
    """The whole page; the same text for the same tables and views."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.duckdb"
        catalog.build(path, catalog.statements({}))
        with duckdb.connect(str(path), read_only=True) as connection:
            notes = dict(
                connection.execute(
                    "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"
                ).fetchall()
            )
            columns = _columns(connection)
    views = sorted(notes.keys() - TABLES.keys())
    parts = [_HEAD, _contents([*TABLES, *views])]
    parts += [_table(table, columns[table.name]) for table in TABLES.values()]
    parts += [_section(name, str(notes[name] or ""), "View.", columns[name]) for name in views]
    return "\n".join(parts)


def _columns(connection: duckdb.DuckDBPyConnection) -> _Columns:
    found: _Columns = {}
    for view, name, kind, comment in connection.execute(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY table_name, column_index"
    ).fetchall():
        found.setdefault(view, []).append((name, kind, comment or ""))
    return found


def _contents(names: Iterable[str]) -> str:
    return "".join(f"- [{name}](#{name})\n" for name in names)


def _table(table: Table, columns: list[tuple[str, str, str]]) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    about = (
        f"Table. Key: {key}. One run makes a {table.partition}; "
        f"one file holds a {table.unit} (by `{table.clock}`)."
    )
    optional = {column.name for column in table.columns if column.nullable}
    return _section(table.name, table.description, about, columns, optional)


def _section(
    name: str,
    description: str,
    about: str,
    columns: list[tuple[str, str, str]],
    optional: set[str] | None = None,
) -> str:
    """One heading; whether a column may be null is known of tables alone."""
    may = "" if optional is None else " null |"
    lines = [
        f"## {name}\n\n{description}\n\n{about}\n",
        f"| column | type |{may} meaning |",
        f"| --- | --- |{' --- |' if may else ''} --- |",
    ]
    for column, kind, comment in columns:
        null = "" if optional is None else " yes |" if column in optional else " |"
        lines.append(f"| {column} | {kind} |{null} {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"

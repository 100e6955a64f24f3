"""The pages that are made from the code: docs/tables.md and docs/trust.md."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import duckdb

from kis_assets.defs.checks.registry import LISTED
from kis_assets.lake import catalog
from kis_assets.tables import TABLES, Table

_TABLES = """\
# Tables and views

Made from the code by `kis-assets docs > docs/tables.md`: change `kis_assets/tables` or
`kis_assets/lake/sql`, not this page. The same words stand as comments in `market.duckdb`
(`SELECT column_name, comment FROM duckdb_columns()`).

Prices are whole KRW (원). Days are days in Seoul; instants (`TIMESTAMP WITH TIME ZONE`) are stored
in UTC. How to read it all: [analysts.md](analysts.md).
"""

_Columns = dict[str, list[tuple[str, str, str]]]


def tables_page() -> str:
    """docs/tables.md: every table and view; the same text for the same ones."""
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
    parts = [_TABLES, _contents([*TABLES, *views])]
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
    if table.on_virtual == "lacking":
        about += " Only the real server has it."
    if table.on_virtual == "from_files":
        about += " Of the virtual server it is what the master files tell."
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


_CHECKS = """\
# Data one can trust

Made from the code by `kis-assets docs checks > docs/trust.md`.

Every partition is checked when it is written. What a check finds is kept in the table
`quality`, for each trading day, with the first failing rows. Rows that can never be right (a
wrong type, a doubled key, a negative price, a row of another day or source) do not even get
that far: the lake refuses them.

`dataset_condition` says of each table and trading day what that comes to:

| condition | means |
| --- | --- |
| available | stored, and no check that is an error fails; a warning is told as the reason |
| degraded | stored, and an error stands in it, or a stock that was asked for failed |
| pending | the day is not over, or a row of it is not final: since 2026-09-14 a candle that was \
fetched before 06:00 of the next session may have the after-market's close, high and low |
| missing | nothing is stored; the reason says whether it can still be had |

```sql
SELECT * FROM dataset_condition WHERE condition <> 'available' ORDER BY trading_day DESC
```

A stock without a row is no failure when it is known why (halted, not yet listed, delisted, no
trade): the codes stand by reason in `quality`, check `every_stock_is_accounted_for`. What a
later run changed in stored rows is shown by `kis-assets diff TABLE PARTITION`;
`Market(...).daily_candles(..., as_of=...)` reads what was known at an earlier moment.

The thresholds are those of real days of March 2026; a check's words say which. *Blocks* means
that it can never be right, and that what is downstream does not run.

| table | check | severity | what must be true |
| --- | --- | --- | --- |
"""


def checks_page() -> str:
    """docs/trust.md: how data is judged, and every check; the same text for the same ones."""
    lines = [
        f"| {table.name} | {check.name} | {check.severity.value}"
        f"{', blocks' if check.blocks else ''} | {check.description} |\n"
        for table, checks in LISTED.items()
        for check in checks
    ]
    return _CHECKS + "".join(lines)

"""The pages that are generated from the code: docs/tables.md and docs/trust.md."""

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

Generated from the code by `kis-assets docs > docs/tables.md`: change `kis_assets/tables` or
`kis_assets/lake/sql`, not this page. `market.duckdb` has the same texts as comments
(`SELECT column_name, comment FROM duckdb_columns()`).

Prices are whole KRW (원). Days are days in Seoul; instants (`TIMESTAMP WITH TIME ZONE`) are stored
in UTC. [analysts.md](analysts.md) shows how to read them.
"""

_Columns = dict[str, list[tuple[str, str, str]]]


def tables_page() -> str:
    """The text of docs/tables.md, with all tables and views."""
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
        f"Table. Key: {key}. One run makes one {table.partition}; "
        f"one file holds one {table.unit} (by `{table.clock}`)."
    )
    if table.on_virtual == "lacking":
        about += " Only the real server has it."
    if table.on_virtual == "from_files":
        about += " With the virtual server it has only what the master files contain."
    optional = {column.name for column in table.columns if column.nullable}
    return _section(table.name, table.description, about, columns, optional)


def _section(
    name: str,
    description: str,
    about: str,
    columns: list[tuple[str, str, str]],
    optional: set[str] | None = None,
) -> str:
    """One section; only for tables it shows whether a column may be null."""
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

Generated from the code by `kis-assets docs checks > docs/trust.md`.

Every partition is checked when it is written. The table `quality` keeps the result of each
check for each trading day, with the first failing rows. The lake refuses rows that can never
be right (a wrong type, a duplicate key, a negative price, a row of another day or source)
before any check.

`dataset_condition` sums this up for each table and trading day:

| condition | means |
| --- | --- |
| available | stored, and no check of severity ERROR fails; the reason names failed warnings |
| degraded | stored, but a check of severity ERROR fails, or a stock could not be fetched |
| pending | the day is not over, or a row of it is not final: since 2026-09-14 a candle that was \
fetched before 06:00 of the next session may have the after-market's close, high and low |
| missing | nothing is stored; the reason says whether it is still available |

```sql
SELECT * FROM dataset_condition WHERE condition <> 'available' ORDER BY trading_day DESC
```

A stock without a row is not a failure if the reason is known (halted, not yet listed, delisted,
no trade). The check `every_stock_is_accounted_for` in `quality` lists the codes by reason.
`kis-assets diff TABLE PARTITION` shows what a later run changed in stored rows;
`Market(...).daily_candles(..., as_of=...)` reads what was stored at an earlier moment.

Thresholds come from real days of March 2026; the text of a check says which. *Blocks* means
that failing rows can never be right, and that downstream assets do not run.

| table | check | severity | what must be true |
| --- | --- | --- | --- |
"""


def checks_page() -> str:
    """The text of docs/trust.md: how data is judged, and all checks."""
    lines = [
        f"| {table.name} | {check.name} | {check.severity.value}"
        f"{', blocks' if check.blocks else ''} | {check.description} |\n"
        for table, checks in LISTED.items()
        for check in checks
    ]
    return _CHECKS + "".join(lines)

"""Rows as people read them, or as programs do. Knows no command."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets.cli.common import note, stop

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="A JSON array of objects, for machines.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV with a header, for machines.")]

ROWS = 50
"""Rows a person is shown."""
_GAP = 2
_TEXT = 24


def machine(as_json: bool, as_csv: bool) -> bool:
    """True when a program reads. Both at once is a mistake."""
    if as_json and as_csv:
        raise stop("--json and --csv are two answers: choose one")
    return as_json or as_csv


def show(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    as_json: bool = False,
    as_csv: bool = False,
    most: int = ROWS,
) -> None:
    """Print rows: as JSON, as CSV, or as a table that fits the terminal.

    A table leaves out what does not fit, rows past `most` and columns on the right, and says so; a
    single row that is too wide stands upright.
    """
    if machine(as_json, as_csv):
        typer.echo(_json(columns, rows) if as_json else _csv(columns, rows), nl=as_json)
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not rows:
        console.print("no rows")
        return
    shown = [[_text(cell) for cell in row] for row in rows[:most]]
    widths = [
        max(_width(name), *(_width(row[place]) for row in shown))
        for place, name in enumerate(columns)
    ]
    fitting = _fitting(widths, console.width)
    if fitting < len(columns) and len(rows) == 1:
        _upright(console, columns, shown[0])
        return
    _table(console, columns[:fitting], shown, [_is_number(rows, n) for n in range(fitting)])
    if fitting < len(columns):
        names = ", ".join(columns[fitting:])
        note(f"too narrow for {names}: a wider terminal, --json or --csv has them")
    if len(rows) > most:
        note(f"the first {most} of {len(rows):,} rows: --json or --csv has all")


def record(found: dict[str, Any], *, as_json: bool = False, as_csv: bool = False) -> None:
    """Print one thing: as rows of one, but always upright for people."""
    if machine(as_json, as_csv):
        show(list(found), [list(found.values())], as_json=as_json, as_csv=as_csv)
        return
    from rich.console import Console

    _upright(Console(highlight=False), list(found), [_text(value) for value in found.values()])


def _upright(console: Console, columns: Sequence[str], cells: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0))
    for name, cell in zip(columns, cells, strict=True):
        if cell:
            table.add_row(Text(name, "bold"), Text(cell))
    console.print(table)


def _table(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[bool],
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for place, name in enumerate(columns):
        is_long = max(_width(row[place]) for row in rows) > _TEXT
        table.add_column(
            Text(name),
            justify="right" if numbers[place] else "left",
            no_wrap=not is_long,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[: len(columns)]))
    console.print(table)


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many columns from the left fit, when long texts may be broken; at least one."""
    taken = 0
    for place, width in enumerate(widths):
        taken += min(width, _TEXT) + (_GAP if place else 0)
        if taken > room - _GAP and place:
            return place
    return len(widths)


def _is_number(rows: Sequence[Sequence[Any]], place: int) -> bool:
    found = [row[place] for row in rows[:ROWS] if row[place] is not None]
    return bool(found) and all(
        isinstance(cell, int | float) and not isinstance(cell, bool) for cell in found
    )


def _width(text: str) -> int:
    from rich.cells import cell_len

    return max((cell_len(line) for line in text.split("\n")), default=0)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.4f}".rstrip("0").rstrip(".")
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    return str(cell)


def _json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps(found, default=_plain, ensure_ascii=False)


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def _plain(cell: Any) -> Any:
    if isinstance(cell, date | datetime):
        return cell.isoformat()
    if cell is None or isinstance(cell, str | int | float):
        return cell
    return str(cell)

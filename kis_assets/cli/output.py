"""Output of rows for people and for programs. Independent of the commands."""

from __future__ import annotations

import csv
import json
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from io import StringIO
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets.cli.common import note, stop
from kis_assets.cli.ending import CLOSED_PIPE, is_plain
from kis_assets.security.text_input import escaped, visible

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array of objects.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")]

ROWS = 50
"""The number of rows shown to a person."""
_GAP = 2
_TEXT = 24


def is_for_machines(as_json: bool, as_csv: bool) -> bool:
    """Whether a program reads the output. Both options at once are an error."""
    if as_json and as_csv:
        raise stop("--json and --csv exclude each other: choose one")
    return as_json or as_csv


def show(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    as_json: bool = False,
    as_csv: bool = False,
    most: int = ROWS,
    newest: bool = False,
) -> None:
    """Print rows: as JSON, as CSV, or as a table that fits the terminal.

    A table omits rows beyond `most` and columns on the right that do not fit, with a note. A single
    row that is too wide is shown with one line per column. `newest` shows the last rows instead of
    the first.
    """
    if is_for_machines(as_json, as_csv):
        if as_json:
            typer.echo(dump([dict(zip(columns, row, strict=True)) for row in rows]))
        else:
            # Excel reads a file without a byte-order mark as cp949. A pipe needs no mark.
            text = csv_text(columns, rows, mark="\ufeff" if _is_new_file() else "")
            typer.echo(visible(text) if sys.stdout.isatty() else text, nl=False)
        return
    columns = [visible(name) for name in columns]
    if not rows:
        typer.echo("no rows")
        return
    shown = [[_text(cell) for cell in row] for row in (rows[-most:] if newest else rows[:most])]
    widths = [
        max(_width(name), *(_width(row[place]) for row in shown))
        for place, name in enumerate(columns)
    ]
    fitting = _fitting(widths, _room())
    if fitting < len(columns) and len(rows) == 1:
        _print_record(columns, shown[0])
        return
    table = [columns[:fitting], *(row[:fitting] for row in shown)]
    _print(table, [_is_number(rows, place) for place in range(fitting)])
    if fitting < len(columns):
        names = ", ".join(columns[fitting:])
        note(f"too narrow for {names}: use a wider terminal, --columns, --json or --csv")
    if len(rows) > most:
        which = "newest" if newest else "first"
        note(f"the {which} {most} of {len(rows):,} rows: --json, --csv or --to FILE gives all")


def record(found: dict[str, Any], *, as_json: bool = False, as_csv: bool = False) -> None:
    """Print one record: as a single row, but for people with one line per column."""
    if is_for_machines(as_json, as_csv):
        show(list(found), [list(found.values())], as_json=as_json, as_csv=as_csv)
        return
    _print_record(list(found), [_text(value) for value in found.values()])


def _print_record(columns: Sequence[str], cells: Sequence[str]) -> None:
    """Names on the left, values on the right, without unknown values."""
    _print([line for line in zip(columns, cells, strict=True) if line[1]], [False, False])


def _print(lines: Sequence[Sequence[str]], to_right: Sequence[bool]) -> None:
    """Print columns that fit the terminal; the widest are narrowed, and long texts are folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, _GAP, 0, 0))
    for right in to_right:
        table.add_column(justify="right" if right else "left", overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    drawn = StringIO()
    Console(file=drawn, width=_room(), color_system=None, legacy_windows=False).print(table)
    for line in drawn.getvalue().splitlines():
        typer.echo(line.rstrip())


def _room() -> int:
    """The width of the terminal in characters, even if standard output is redirected.

    `COLUMNS` overrides it.
    """
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"])
    for number in (1, 2, 0):
        with suppress(OSError):
            return os.get_terminal_size(number).columns
    return 80


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many columns from the left fit if long texts may be folded; at least one."""
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
    """The width of the widest line; a Hangul syllable takes two columns."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


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
    return visible(str(cell))


def dump(found: object, default: Callable[[Any], Any] | None = None) -> str:
    """JSON that the output can encode, without control characters for a terminal."""
    text = json.dumps(found, default=default or _plain, ensure_ascii=not _takes_all())
    return escaped(text)


def console(*, stderr: bool = False) -> Console:
    """A console for progress: no control characters from data, and a quiet end at a closed pipe."""
    from rich import console as rich

    class Plain(rich.Console):
        def print(self, *objects: Any, **given: Any) -> None:
            super().print(*(visible(it) if isinstance(it, str) else it for it in objects), **given)

        def on_broken_pipe(self) -> None:
            with suppress(SystemExit):
                super().on_broken_pipe()
            raise SystemExit(CLOSED_PIPE)

    return Plain(stderr=stderr, color_system=None if is_plain() else "auto")


class _Lines(list[str]):
    r"""Lines of CSV with `\n`. The csv module itself must write `\r\n`, so that it quotes both."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, mark: str = "") -> str:
    """CSV with a header, after a byte-order mark if given; texts cannot become formulas."""
    lines = _Lines([mark])
    csv.writer(lines).writerows([_inert(cell) for cell in row] for row in (columns, *rows))
    return "".join(lines)


def _is_new_file() -> bool:
    """Whether the output is an empty file."""
    with suppress(OSError, ValueError):
        there = os.fstat(sys.stdout.fileno())
        return _takes_all() and stat.S_ISREG(there.st_mode) and there.st_size == 0
    return False


def _takes_all() -> bool:
    """Whether the output can encode every character."""
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def _inert(cell: Any) -> Any:
    """The cell, quoted if a spreadsheet would take its text for a formula."""
    is_formula = isinstance(cell, str) and cell.lstrip("\n").startswith(_FORMULA)
    return f"'{cell}" if is_formula else _plain(cell)


def _plain(cell: Any) -> Any:
    if isinstance(cell, date | datetime):
        return cell.isoformat()
    if cell is None or isinstance(cell, str | int | float):
        return cell
    return str(cell)

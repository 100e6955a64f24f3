"""Rows as people read them, or as programs do. Knows no command."""

from __future__ import annotations

import csv
import json
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import east_asian_width

import typer

from kis_assets.cli.common import note, stop
from kis_assets.cli.ending import CLOSED_PIPE
from kis_assets.security.text_input import escaped, visible

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
        if as_json:
            typer.echo(dump([dict(zip(columns, row, strict=True)) for row in rows]))
        else:
            text = _csv(columns, rows)
            typer.echo(visible(text) if sys.stdout.isatty() else text, nl=False)
        return
    columns = [visible(name) for name in columns]
    if not rows:
        typer.echo("no rows")
        return
    shown = [[_text(cell) for cell in row] for row in rows[:most]]
    widths = [
        max(_width(name), *(_width(row[place]) for row in shown))
        for place, name in enumerate(columns)
    ]
    room = _room()
    fitting = _fitting(widths, room)
    if fitting < len(columns) and len(rows) == 1:
        _upright(columns, shown[0])
        return
    table = [list(columns[:fitting]), *(row[:fitting] for row in shown)]
    _print(table, _narrowed(widths[:fitting], room), [_is_number(rows, n) for n in range(fitting)])
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
    _upright(list(found), [_text(value) for value in found.values()])


def _upright(columns: Sequence[str], cells: Sequence[str]) -> None:
    """Names on the left, values on the right; what is not known is left out."""
    lines = [[name, cell] for name, cell in zip(columns, cells, strict=True) if cell]
    widths = [max((_width(line[place]) for line in lines), default=0) for place in (0, 1)]
    _print(lines, _narrowed(widths, _room()), [False, False])


def _print(lines: Sequence[Sequence[str]], widths: Sequence[int], to_right: Sequence[bool]) -> None:
    """Columns of these widths; a longer text goes on below itself.

    By hand, because rich takes a tenth of a second to load.
    """
    for line in lines:
        cells = [_folded(cell, width) for cell, width in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            places = zip(parts, widths, to_right, strict=True)
            padded = [_padded(part, width, right) for part, width, right in places]
            typer.echo((" " * _GAP).join(padded).rstrip())


def _padded(text: str, width: int, to_right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if to_right else text + space


def _folded(text: str, width: int) -> list[str]:
    """The lines of a text, none wider than that; broken at a space where there is one."""
    lines: list[str] = []
    for line in text.split("\n"):
        rest = line
        while _width(rest) > width:
            most = sum(up_to <= width for up_to in accumulate(map(_width, rest)))
            space = rest.rfind(" ", 1, most + 1)
            cut = most if space < 0 else space
            lines.append(rest[:cut])
            rest = rest[cut:].lstrip()
        lines.append(rest)
    return lines


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Those widths, but the widest texts narrower by as much as the terminal is too narrow."""
    found = list(widths)
    while sum(found) + _GAP * (len(found) - 1) > room and max(found) > _TEXT:
        found[found.index(max(found))] -= 1
    return found


def _room() -> int:
    """How many characters a line of the terminal takes, also when only the answer goes elsewhere.

    `COLUMNS` goes first.
    """
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"])
    for number in (1, 2, 0):
        with suppress(OSError):
            return os.get_terminal_size(number).columns
    return 80


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
    """How wide the widest line is: Hangul takes two places a letter."""
    return max(
        sum(1 + (east_asian_width(letter) in "WF") for letter in line) for line in text.split("\n")
    )


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
    """JSON that the output can take, and that steers no terminal."""
    text = json.dumps(found, default=default or _plain, ensure_ascii=not _takes_all())
    return escaped(text)


def console(*, stderr: bool = False) -> Console:
    """What draws progress; what it prints steers no terminal, and a closed pipe ends it quietly."""
    from rich import console as rich

    class Plain(rich.Console):
        def print(self, *objects: Any, **given: Any) -> None:
            super().print(*(visible(it) if isinstance(it, str) else it for it in objects), **given)

        def on_broken_pipe(self) -> None:
            with suppress(SystemExit):
                super().on_broken_pipe()
            raise SystemExit(CLOSED_PIPE)

    return Plain(stderr=stderr)


class _Lines(list[str]):
    """Lines of CSV. Their writer quotes what has any of the ends it knows, and writes the long."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    # Excel takes a file without a mark for cp949. Programs that read a pipe are not given one.
    lines = _Lines(["\ufeff"] if _is_new_file() else [])
    csv.writer(lines).writerows([_inert(cell) for cell in row] for row in (columns, *rows))
    return "".join(lines)


def _is_new_file() -> bool:
    """True when the output is a file, and nothing is in it yet."""
    with suppress(OSError, ValueError):
        there = os.fstat(sys.stdout.fileno())
        return _takes_all() and stat.S_ISREG(there.st_mode) and there.st_size == 0
    return False


def _takes_all() -> bool:
    """True when the output has every letter."""
    return sys.stdout.encoding.lower().replace("-", "") == "utf8"


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def _inert(cell: Any) -> Any:
    """What a spreadsheet shows, where it would take a text for a formula."""
    is_formula = isinstance(cell, str) and cell.lstrip("\n").startswith(_FORMULA)
    return f"'{cell}" if is_formula else _plain(cell)


def _plain(cell: Any) -> Any:
    if isinstance(cell, date | datetime):
        return cell.isoformat()
    if cell is None or isinstance(cell, str | int | float):
        return cell
    return str(cell)

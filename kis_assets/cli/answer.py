"""What all reading commands share: the form of the output, and where it goes."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from kis_assets.cli.ending import note, report, stop
from kis_assets.cli.output import ROWS, AsCsv, AsJson, is_for_machines, record, show
from kis_assets.exchange.venues import mark_of
from kis_assets.lake.queries import Column

KINDS = (".parquet", ".csv", ".xlsx")
_SOURCE = Column("source", "VARCHAR")

To = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="Write a file: .parquet, .csv or .xlsx."),
]
ToDayOrFile = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DAY|FILE",
        help="Last day (included), or a file to write: .parquet, .csv or .xlsx. May be repeated.",
    ),
]
Columns = Annotated[
    str | None, typer.Option(help="The columns to output, separated by commas: close,volume.")
]


class Answer(NamedTuple):
    """The form of one answer: for people, as JSON, as CSV, or as a file."""

    as_json: bool
    as_csv: bool
    file: Path | None
    chosen: tuple[str, ...] | None
    last: str | None
    """The last day, if `--to` may be a day."""

    @property
    def is_for_people(self) -> bool:
        """Whether a person reads it, on a terminal."""
        return not (self.as_json or self.as_csv or self.file)

    @property
    def is_asked(self) -> bool:
        """Whether the user chose a form."""
        return any((self.as_json, self.as_csv, self.file, self.chosen))

    def rows(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        source: str = "",
        *,
        of_query: bool = False,
        newest: bool = False,
        most: int = ROWS,
    ) -> None:
        """Output rows of a source; the mark of invented rows goes to standard error.

        JSON has the source in every record. So do CSV and files, unless the user chose the columns
        in a query or by `--columns`.
        """
        columns = list(columns)
        has_source = self.as_json or not (self.is_for_people or of_query or self.chosen)
        if source and "source" not in columns and (has_source or self.chosen):
            columns = [*columns, _SOURCE]
            rows = [[*row, source] for row in rows]
        if self.chosen is not None:
            self.expect(columns)
            own = ("source",) if has_source and source else ()
            places = [columns.index(name) for name in dict.fromkeys((*self.chosen, *own))]
            columns = [columns[place] for place in places]
            rows = [[row[place] for place in places] for row in rows]
        if source:
            say_mark(source)
        if self.file is None:
            show(columns, rows, as_json=self.as_json, as_csv=self.as_csv, newest=newest, most=most)
            return
        from kis_assets.cli.answer_files import write

        write(self.file, columns, rows)
        note(f"{self.file}: {len(rows):,} row{'' if len(rows) == 1 else 's'}")

    def expect(self, columns: Sequence[str]) -> None:
        """Refuse chosen columns that do not exist.

        Raises:
            typer.Exit: a chosen column is not in `columns`.
        """
        if unknown := [name for name in self.chosen or () if name not in columns]:
            raise stop(f"there is no column {unknown[0]!r}; there are {', '.join(columns)}")

    def record(self, found: dict[str, Any], source: str = "") -> None:
        """Output one record: as a single row, but for people with one line per column."""
        if not self.is_for_people or self.chosen is not None:
            self.rows(list(found), [list(found.values())], source)
            return
        if source:
            say_mark(source)
        record(found)


def say_mark(source: str) -> None:
    """Say on standard error if rows are invented."""
    if mark := mark_of(source):
        report(mark, "yellow", logging.WARNING)


def reading_command(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of reading commands to a command, which gets their values as `answer`.

    If a command has a first day, `--to` may also give the last day.
    """
    own = inspect.signature(command, eval_str=True)
    takes_days = "first" in own.parameters

    @wraps(command)
    def run(
        *,
        to: list[str] | None,
        columns: str | None,
        as_json: bool,
        as_csv: bool,
        **given: Any,
    ) -> None:
        command(**given, answer=_answer(to or [], columns, as_json, as_csv, takes_days))

    options: dict[str, tuple[Any, Any]] = {
        "to": (ToDayOrFile if takes_days else To, None),
        "columns": (Columns, None),
        "as_json": (AsJson, False),
        "as_csv": (AsCsv, False),
    }
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in options.items()
    ]
    kept = [it for it in own.parameters.values() if it.name != "answer"]
    run.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {it.name: it.annotation for it in (*kept, *added)}
    return run


def _answer(
    to: list[str], columns: str | None, as_json: bool, as_csv: bool, takes_days: bool
) -> Answer:
    is_for_machines(as_json, as_csv)
    files = [word for word in to if Path(word).suffix.lower() in KINDS]
    days = [word for word in to if word not in files]
    if len(files) > 1:
        raise stop("--to names two files: choose one")
    if len(days) > takes_days:
        kinds = ", ".join(KINDS)
        raise stop(f"--to {days[-1]} cannot be written: the name of a file ends with {kinds}")
    if files and (as_json or as_csv):
        raise stop("--to FILE excludes --json and --csv: choose one")
    chosen = columns and tuple(filter(None, (name.strip() for name in columns.split(","))))
    if columns is not None and not chosen:
        raise stop("--columns names no column")
    file = Path(files[0]).expanduser() if files else None
    if file is not None:
        _refuse(file)
    return Answer(as_json, as_csv, file, chosen or None, days[0] if days else None)


def _refuse(path: Path) -> None:
    """Refuse a file that cannot be written, before any request.

    Raises:
        typer.Exit: it is a folder, its folder is not writable, or a package is missing.
    """
    if path.is_dir():
        raise stop(f"{path} is a folder: name a file")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise stop(f"{folder} is not a folder: make it first")
    if not os.access(folder, os.W_OK):
        raise stop(f"{folder} cannot be written: name a file elsewhere", 1)
    if path.suffix.lower() == ".xlsx":
        try:
            import xlsxwriter  # noqa: F401  # type: ignore[import-not-found]
        except ImportError:
            raise stop("an Excel sheet needs another package: pip install xlsxwriter") from None

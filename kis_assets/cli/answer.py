"""What all reading commands share: the form of the output, and where it goes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from kis_assets.cli.ending import note, stop
from kis_assets.cli.output import ROWS, AsCsv, AsJson, is_for_machines, record, show
from kis_assets.exchange.venues import mark_of

KINDS = (".parquet", ".csv", ".xlsx")

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
        if self.chosen is not None:
            columns, rows = _chosen(columns, rows, self.chosen)
        has_source = self.as_json or not (self.is_for_people or of_query or self.chosen)
        if source and has_source and "source" not in columns:
            columns, rows = [*columns, "source"], [[*row, source] for row in rows]
        if source:
            say_mark(source)
        if self.file is None:
            show(columns, rows, as_json=self.as_json, as_csv=self.as_csv, newest=newest, most=most)
            return
        from kis_assets.cli.answer_files import write

        write(self.file, columns, rows)
        note(f"{self.file}: {len(rows):,} row{'' if len(rows) == 1 else 's'}")

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
        typer.secho(mark, fg="yellow", err=True)


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
    return Answer(
        as_json, as_csv, Path(files[0]).expanduser() if files else None, chosen or None,
        days[0] if days else None,
    )  # fmt: skip


def _chosen(
    columns: list[str], rows: Sequence[Sequence[Any]], chosen: tuple[str, ...]
) -> tuple[list[str], list[list[Any]]]:
    """The chosen columns in the given order.

    Raises:
        typer.Exit: a column does not exist.
    """
    if unknown := [name for name in chosen if name not in columns]:
        raise stop(f"there is no column {unknown[0]!r}; there are {', '.join(columns)}")
    places = [columns.index(name) for name in chosen]
    return list(chosen), [[row[place] for place in places] for row in rows]

"""How a command ends, whatever goes wrong: with one sentence and an exit status, never a trace."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from kis_assets import __version__
from kis_assets.security.text_input import visible

CLOSED_PIPE = 141
"""The exit status when nobody reads the output any more, as of every other command in a pipe."""
TRACE = "TYPER_STANDARD_TRACEBACK"
"""The variable, of Typer, with which what is not foreseen ends with its trace."""


def stop(what: str | Exception, status: int = 2) -> typer.Exit:
    """One sentence on standard error, and the exit status."""
    if isinstance(what, OSError):
        from kis_assets.security.ownership import explained

        what = explained(what)
    typer.secho(f"error: {visible(str(what))}", fg="red", err=True)
    return typer.Exit(status)


def note(message: str) -> None:
    """One sentence on standard error that stops nothing."""
    typer.secho(f"note: {visible(message)}", fg="yellow", err=True)


class Program(TyperGroup):
    """The commands. Each names what can go wrong with it; what is left is named here."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.params += _own_options()

    def main(self, *args: Any, **given: Any) -> Any:
        r"""Run a command; letters that the output cannot take are written as `\uc0bc`."""
        if sys.stdout is None:  # it was closed by whoever started this
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        # Hangul that is typed where no encoding is set comes as single bytes.
        sys.argv = [os.fsencode(word).decode("utf-8", "replace") for word in sys.argv]
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **given)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for.

        Raises:
            typer.Exit: something went wrong, and was told.
        """
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still to be written would be tried again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(CLOSED_PIPE) from None
        except Exception as error:
            is_told = isinstance(error, typer.Abort) or hasattr(error, "exit_code")
            if is_told or os.environ.get(TRACE):
                raise
            raise stop(_sentence(error), 1) from None
        return result


def _own_options() -> list[Any]:
    """The options of the program itself, made by Typer as those of a command are."""
    program = typer.Typer(add_completion=False)

    @program.callback()
    def options(  # pyright: ignore[reportUnusedFunction]
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                is_eager=True,
                expose_value=False,
                callback=_say_version,
                help="Say the version and end.",
            ),
        ] = False,
    ) -> None: ...

    return typer.main.get_group(program).params


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"kis-assets {__version__}")
        raise typer.Exit


def _sentence(error: Exception) -> str:
    """What the error says to whom it concerns; else that it is a bug, and where."""
    package = type(error).__module__.partition(".")[0]
    if package == "dagster" and (description := getattr(error, "description", None)):
        return str(description)
    if package in ("sqlalchemy", "sqlite3", "alembic"):
        # All that the project has in SQLite itself names its own failures.
        from kis_assets.execution.dagster_home import sentence
        from kis_assets.settings import Settings

        return sentence(Settings.load().dagster_home, error)
    if isinstance(error, OSError):
        from kis_assets.security.ownership import explained

        return explained(error)
    text = " ".join(str(error).split())
    if package in ("kis_assets", "duckdb", "_duckdb"):
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"this is a bug, please report it: {type(error).__name__}: {text} ({frame.filename}, line "
        f"{frame.lineno}, in {frame.name}); {TRACE}=1 shows all of the trace"
    )

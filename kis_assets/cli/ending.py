"""How a command ends after any error: with one sentence and an exit status, without a traceback."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from kis_assets.monitoring import json_log
from kis_assets.security.text_input import visible

CLOSED_PIPE = 141
"""The exit status when the output is closed, as usual for commands in a pipe."""
TRACE = "TYPER_STANDARD_TRACEBACK"
"""Typer's variable: if set, unexpected errors show their traceback."""


def stop(what: str | Exception, status: int = 2) -> typer.Exit:
    """Print an error as one sentence on standard error; raise the result to end the program."""
    if isinstance(what, OSError):
        from kis_assets.security.ownership import explained

        what = explained(what)
    report(str(what), "red", logging.ERROR, "error: ")
    return typer.Exit(status)


def note(message: str) -> None:
    """Print a note as one sentence on standard error."""
    report(message, "yellow", logging.WARNING, "note: ")


def report(sentence: str, colour: str, level: int, prefix: str = "") -> None:
    """Print a sentence on standard error, or a line of JSON with `KIS_LOG_FORMAT=json`."""
    if json_log.is_on():
        json_log.say(level, sentence)
    else:
        typer.secho(f"{prefix}{visible(sentence)}", fg=colour, err=True)


class Program(TyperGroup):
    """The commands. Each handles its expected errors; this class handles all others."""

    def main(self, *args: Any, **given: Any) -> Any:
        r"""Run a command; characters that the output cannot encode are written as `\uc0bc`."""
        if sys.stdout is None:  # the parent process closed it
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        # Without a locale, typed Hangul arrives as single bytes.
        sys.argv = [os.fsencode(word).decode("utf-8", "replace") for word in sys.argv]
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        if is_plain():
            from typer import rich_utils

            rich_utils.COLOR_SYSTEM = None  # otherwise Rich still uses bold and dim
        return super().main(*args, **given)

    def make_context(self, *args: Any, **given: Any) -> Any:
        """Parse what stands before the name of a command.

        Raises:
            typer.Exit: it is wrong; the message is printed.
        """
        if is_plain():
            given["color"] = False
        with _as_a_sentence():
            return super().make_context(*args, **given)

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: something went wrong; the message is printed.
        """
        try:
            with _as_a_sentence():
                result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Otherwise Python would try to flush the rest when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(CLOSED_PIPE) from None
        except KeyboardInterrupt:
            from kis_assets.cli.common import INTERRUPTED

            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            is_handled = isinstance(error, typer.Abort) or hasattr(error, "exit_code")
            if is_handled or os.environ.get(TRACE):
                raise
            raise stop(_sentence(error), 1) from None
        return result


@contextmanager
def _as_a_sentence() -> Generator[None]:
    """Print wrong input as one sentence, like all errors: Typer would draw a box around it."""
    try:
        yield
    except Exception as error:
        if not isinstance(said := getattr(error, "format_message", None), Callable):
            raise
        text = " ".join(str(said()).split()).removesuffix(".").replace("Value error, ", "")
        ctx: Any = getattr(error, "ctx", None)
        command = ctx.command_path if ctx else "kis-assets"
        raise stop(f"{text}; see {command} --help") from None


def is_plain() -> bool:
    """Whether colours and styles are off: `NO_COLOR` is set."""
    return bool(os.environ.get("NO_COLOR"))


def _sentence(error: Exception) -> str:
    """The error's own message if users can act on it; otherwise that it is a bug, and where."""
    package = type(error).__module__.partition(".")[0]
    if package == "dagster" and (description := getattr(error, "description", None)):
        return str(description)
    if package in ("sqlalchemy", "sqlite3", "alembic"):
        # It comes from Dagster: the project's own SQLite files have errors of their own.
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
        f"{frame.lineno}, in {frame.name}); {TRACE}=1 shows the traceback"
    )

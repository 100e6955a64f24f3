"""What the commands share: the program, its settings, and how it ends on a mistake."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets.cli.ending import Program, note, stop
from kis_assets.monitoring import json_log
from kis_assets.security.text_input import start_folder

if TYPE_CHECKING:
    from rich.console import Console

    from kis_assets.lake.lake import Lake
    from kis_assets.market import Market
    from kis_assets.settings import Settings

app = typer.Typer(
    cls=Program,
    pretty_exceptions_show_locals=False,
)


INTERRUPTED = 130
"""The exit status of what was ended by Ctrl-C."""


class Source(Enum):
    """Sources that can be asked for by name."""

    KIS = "kis"
    KRX = "krx"
    MOCK = "mock"


OtherSource = Annotated[
    Source | None, typer.Option(case_sensitive=False, help="Instead of DATA_SOURCE_TYPE.")
]


def _tables(incomplete: str) -> list[str]:
    """The tables whose names begin so, for the shell that completes them."""
    from kis_assets.tables import TABLES

    return [name for name in TABLES if name.startswith(incomplete)]


TableName = typer.Argument(
    metavar="TABLE", help="A table of docs/tables.md.", autocompletion=_tables
)
FirstDay = Annotated[
    str | None,
    typer.Option("--from", help="First day: 2026-03-17; 2026-03 or 2026 begin on their first."),
]


def maintain(console: Console, lake: Lake) -> None:
    """Maintain the lake after something was stored; what hinders that stops nothing."""
    from kis_assets.lake.scope import LakeError

    try:
        with console.status("putting together what is closed"):
            lake.maintain()
    except LakeError as error:
        note(str(error))


def settings_of(source: Source | None = None) -> Settings:
    """The settings, of another source than theirs where one is given; notes what others can read.

    With the invented market there is no key to be kept.
    """
    from kis_assets.settings import Settings, SettingsError

    try:
        settings = Settings.load(data_source_type=source and source.value)
    except SettingsError as error:
        raise stop(str(error)) from None
    json_log.begin(settings)
    if (folder := start_folder()) != Path.cwd():
        note(f"settings and data are those of {folder}, a folder of this project above this one")
    if settings.source_type != "mock":
        from kis_assets.monitoring.exposure import exposed

        for sentence in exposed(settings):
            note(sentence)
    return settings


def market_of(settings: Settings) -> Market:
    """What is stored of the source in use."""
    import logging

    from kis_assets.market import Market

    # A command says it itself, with its answer.
    logging.getLogger("kis_assets.market").setLevel(logging.ERROR)
    return Market(settings.source_dir, replay_at=settings.kis_replay_at)


def note_stale(records: Sequence[Any]) -> None:
    """Say how old records are, where the source could not be reached for newer ones."""
    if any(one.is_stale for one in records):
        age = max(one.age_seconds for one in records)
        note(f"the source cannot be reached: this is up to {age:.0f} s old")


def port_error(port: int, error: OSError) -> typer.Exit:
    """Say why a port of this machine cannot be had."""
    return stop(f"port {port} cannot be had: {os.strerror(error.errno or 0)}")


def quieten() -> None:
    """Leave out what libraries and this package log: a command tells of it in its own words.

    That KIS has to be waited for is told: half a minute of silence looks like a hang. So is a file
    that is not what it should be.
    """
    import logging

    for name, level in (("dagster", "CRITICAL"), ("kis_assets", "ERROR")):
        logging.getLogger(name).setLevel(level)
    for name in ("kis_assets.kis.token", "kis_assets.files"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def plain_errors() -> Generator[None]:
    """End with one sentence where people can do something: 2 for what was asked, 1 for the rest.

    What is only partly stored is a note.
    """
    from kis_assets.errors import InvalidRequest, KISError
    from kis_assets.lake.reader import NotStored, NotStoredWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotStoredWarning)
        try:
            yield
        except InvalidRequest as error:
            raise stop(str(error)) from None
        except BrokenPipeError:  # nobody reads any more: see `ending.Program`
            raise
        except (NotStored, KISError, OSError) as error:
            raise stop(error, 1) from None
        except ValueError as error:
            raise stop(str(error)) from None
        except Exception as error:
            if type(error).__module__ not in ("duckdb", "_duckdb"):
                raise
            # DuckDB draws the place of the mistake below its sentence.
            raise stop(" ".join(str(error).split("\n\nLINE")[0].split())) from None
    for warning in caught:
        note(str(warning.message))


def codes_of(stocks: Iterable[str], settings: Settings) -> list[str]:
    """The codes of stocks that are given by code, by name, or by a part that one name has alone.

    Raises:
        NotStored: a name is not known, or fits several stocks.
    """
    from kis_assets.lake.reader import NotStored

    with market_of(settings) as market:
        try:
            return list(dict.fromkeys(market.code(stock) for stock in stocks))
        except NotStored as error:
            raise NotStored(f"{error} (names are looked up in what is stored)") from None


def most_traded(settings: Settings, count: int) -> list[str]:
    """The codes of the stocks that were traded most in the newest capture.

    Raises:
        InvalidRequest: nothing was captured yet.
    """
    from kis_assets.defs import universe
    from kis_assets.defs.resources import open_lake

    return universe.most_traded(open_lake(settings), count)

"""What the commands share: the program, its settings, and how errors end it."""

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
"""The exit status after Ctrl-C."""


class Source(Enum):
    """The sources that a user can choose."""

    KIS = "kis"
    KRX = "krx"
    MOCK = "mock"


OtherSource = Annotated[
    Source | None,
    typer.Option(case_sensitive=False, help="Source to use instead of DATA_SOURCE_TYPE."),
]


def _tables(incomplete: str) -> list[str]:
    """The tables whose names begin with this text, for shell completion."""
    from kis_assets.tables import TABLES

    return [name for name in TABLES if name.startswith(incomplete)]


TableName = typer.Argument(
    metavar="TABLE", help="A table of docs/tables.md.", autocompletion=_tables
)
FirstDay = Annotated[
    str | None,
    typer.Option("--from", help="First day: 2026-03-17, or the first one of 2026-03 or 2026."),
]


def maintain(console: Console, lake: Lake) -> None:
    """Maintain the lake after rows were stored; a failure is only a note."""
    from kis_assets.lake.scope import LakeError

    try:
        with console.status("compacting closed units"):
            lake.maintain()
    except LakeError as error:
        note(str(error))


def settings_of(source: Source | None = None) -> Settings:
    """The settings, with this source if one is given. Warns if other users can read secrets.

    The invented market has no secrets.
    """
    from kis_assets.settings import Settings, SettingsError

    try:
        settings = Settings.load(data_source_type=source and source.value)
    except SettingsError as error:
        raise stop(str(error)) from None
    json_log.begin(settings)
    if (folder := start_folder()) != Path.cwd():
        note(f"using settings and data of {folder}, a parent folder that is a project")
    if settings.source_type != "mock":
        from kis_assets.monitoring.exposure import exposed

        for sentence in exposed(settings):
            note(sentence)
    return settings


def market_of(settings: Settings) -> Market:
    """The stored market of the source in use."""
    import logging

    from kis_assets.market import Market

    # Commands print the mark of invented rows themselves.
    logging.getLogger("kis_assets.market").setLevel(logging.ERROR)
    return Market(settings.source_dir, replay_at=settings.kis_replay_at)


def note_stale(records: Sequence[Any]) -> None:
    """Note how old records are, if the source could not be reached for newer ones."""
    if any(one.is_stale for one in records):
        age = max(one.age_seconds for one in records)
        note(f"the source cannot be reached: this is up to {age:.0f} s old")


def port_error(port: int, error: OSError) -> typer.Exit:
    """End with the reason why a local port is not available."""
    return stop(f"port {port} is not available: {os.strerror(error.errno or 0)}")


def quieten() -> None:
    """Silence the logs of libraries and of this package: commands have their own messages.

    Waiting for KIS is still logged, because half a minute of silence looks like a hang. So are
    keys that are set aside, and problems with files.
    """
    import logging

    for name, level in (("dagster", "CRITICAL"), ("kis_assets", "ERROR")):
        logging.getLogger(name).setLevel(level)
    for name in ("kis_assets.kis.accounts", "kis_assets.kis.token", "kis_assets.files"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def plain_errors() -> Generator[None]:
    """End with one sentence on expected errors: status 2 for wrong input, 1 for the rest.

    Data that is only partly stored is a note.
    """
    from kis_assets.errors import InvalidRequest, KISError
    from kis_assets.lake.reader import NotStored, NotStoredWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotStoredWarning)
        try:
            yield
        except InvalidRequest as error:
            raise stop(str(error)) from None
        except BrokenPipeError:  # the output is closed: see `ending.Program`
            raise
        except (NotStored, KISError, OSError) as error:
            raise stop(error, 1) from None
        except ValueError as error:
            raise stop(str(error)) from None
        except Exception as error:
            if type(error).__module__ not in ("duckdb", "_duckdb"):
                raise
            # DuckDB draws the place of the error below its message.
            raise stop(" ".join(str(error).split("\n\nLINE")[0].split())) from None
    for warning in caught:
        note(str(warning.message))


def codes_of(stocks: Iterable[str], settings: Settings) -> list[str]:
    """The codes of stocks given by code, by name, or by a unique part of a name.

    Raises:
        NotStored: a name is unknown, or fits several stocks.
    """
    from kis_assets.lake.reader import NotStored

    with market_of(settings) as market:
        try:
            return list(dict.fromkeys(market.code(stock) for stock in stocks))
        except NotStored as error:
            raise NotStored(f"{error} (names are looked up in the stored list)") from None


def most_traded(settings: Settings, count: int) -> list[str]:
    """The codes of the most traded stocks of the newest capture.

    Raises:
        InvalidRequest: there is no capture yet.
    """
    from kis_assets.defs import universe
    from kis_assets.defs.resources import open_lake

    return universe.most_traded(open_lake(settings), count)

"""Whatever a user's machine does to a command, it ends with one sentence and never with a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from sqlalchemy import Engine, event
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.cli.doctor import Finding
from kis_assets.cli.ending import TRACE
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.test_cli_reading import Said

pytestmark = pytest.mark.usefixtures("narrow_terminal")


# What is typed


def test_words_of_an_option_are_taken_in_any_case() -> None:
    assert "no trading day" in Said("run", "--source", "MOCK", "--date", "2026-03-15").error


def test_a_tilde_in_the_folder_of_a_replay_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "kis_assets.simulator.command.start", lambda replay, *_, **__: opened.append(replay)
    )
    Said("simulate", "--replay=~/days", "--at", "2026-03-17T15:40")
    assert opened == [tmp_path / "days"]


# Dagster's own storage


def _garbage(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no database" * 1000)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no YAML": (
        lambda home: (home / "dagster.yaml").write_text("a: ["),
        "dagster.yaml is not what",
    ),
    "a list": (lambda home: (home / "dagster.yaml").write_text("- a"), "dagster.yaml is not what"),
    "other keys": (lambda home: (home / "dagster.yaml").write_text("a: 1"), "dagster.yaml is not"),
    "runs": (lambda home: _garbage(home / "history" / "runs.db"), "cannot be used (file is not"),
    "events": (
        lambda home: [
            sqlite3.connect(home / "history" / "runs.db").close(),
            _garbage(home / "history" / "runs" / "index.db"),
        ],
        "cannot be used (file is not",
    ),
    "a file": (
        lambda home: [home.joinpath("history").rmdir(), home.rmdir(), home.touch()],
        "cannot be used",
    ),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME of the test's own, for one table of an invented evening."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KIS_REPLAY_AT", EVENING.isoformat())
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    # What it asks the source takes longer than all the rest.
    monkeypatch.setattr("kis_assets.cli.doctor._call", lambda _: Finding("call", "ok", ""))
    (tmp_path / "home" / "history").mkdir(parents=True)
    return tmp_path / "home"


@pytest.mark.parametrize(("break_it", "said"), BROKEN.values(), ids=BROKEN)
def test_what_dagster_cannot_use_is_named_by_every_command_that_needs_it(
    home: Path, break_it: Callable[[Path], object], said: str
) -> None:
    break_it(home)
    for words in (
        ("run", "--table", "market_days"),
        ("backfill", "daily_candles", "2026-02", "2026-02", "--dry-run"),
        ("repair",),
    ):
        assert said in Said(*words).error
        assert str(home) in Said(*words).error
    (line,) = [line for line in Said("doctor", "--json").json if line["what"] == "dagster"]
    assert line["state"] == "fail"
    assert said in line["seen"]


def test_a_doctor_makes_nothing_and_says_what_the_first_run_makes(home: Path) -> None:
    def state() -> str:
        lines = Said("doctor", "--json").json
        return next(it["state"] + " " + it["seen"] for it in lines if it["what"] == "dagster")

    assert state() == f"ok the first run makes {home}"
    assert not any(home.joinpath("history").iterdir())
    assert Said("run", "--table", "market_days").status == 0
    assert state() == f"ok its history in {home} can be read"


def test_a_disk_that_is_full_in_the_middle_of_a_run_is_told(home: Path) -> None:
    assert Said("run", "--table", "market_days").status == 0

    def fill(connection: sqlite3.Connection, _: object) -> None:
        # SQLite's own way to a disk without room; it takes the size of the file where that is more.
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(Engine, "connect", fill)
    try:
        error = Said("run", "--table", "market_days").error
    finally:
        event.remove(Engine, "connect", fill)
    assert "database or disk is full" in error
    assert str(home) in error


@pytest.mark.parametrize("name", ["p%20a", "what?"])
def test_a_path_that_dagster_takes_for_another_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "there" / name))
    assert "set DAGSTER_HOME to a path without" in Said("run", "--table", "market_days").error
    assert not (tmp_path / "there").exists()


# What nobody has foreseen


def test_a_bug_is_told_as_one_with_its_place_and_its_trace_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, stored: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("kis_assets.cli.reading.market_of", fail)
    said = Said("sql", "SELECT 1")
    assert said.status == 1
    assert "this is a bug, please report it: RuntimeError: two lines" in said.error
    assert "test_one_sentence.py, line " in said.error
    assert "in fail" in said.error
    assert f"{TRACE}=1 shows all" in said.error
    monkeypatch.setenv(TRACE, "1")
    done = CliRunner().invoke(app, ["sql", "SELECT 1"])
    assert isinstance(done.exception, RuntimeError)


@pytest.mark.parametrize("error", [typer.BadParameter("wrong"), typer.Abort(), typer.Exit(3)])
def test_what_a_command_says_itself_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, stored: Path, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("kis_assets.cli.reading.market_of", fail)
    said = Said("sql", "SELECT 1")
    assert "bug" not in said.err
    assert said.status == getattr(error, "exit_code", 1)


def test_a_disk_without_room_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/there/file")

    monkeypatch.setattr("kis_assets.cli.doctor.settings_of", fail)
    assert Said("doctor").error == "error: /there/file: No space left on device"

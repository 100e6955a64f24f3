"""Whatever a user's machine does to a command, it ends with one sentence and never with a trace."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import duckdb
import polars as pl
import pytest
import typer
from sqlalchemy import Engine, event
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.cli.doctor import Finding
from kis_assets.cli.ending import CLOSED_PIPE, TRACE, note, stop
from kis_assets.cli.output import console
from kis_assets.exchange.venues import MOCK
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.conftest import EVENING

pytestmark = pytest.mark.usefixtures("narrow_terminal")


# What is typed


def test_words_of_an_option_are_taken_in_any_case() -> None:
    assert "not a trading day" in Said("run", "--source", "MOCK", "--date", "2026-03-15").error


def test_a_tilde_in_the_folder_of_a_replay_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "kis_assets.simulator.server.command.start", lambda replay, *_, **__: opened.append(replay)
    )
    Said("simulate", "--replay=~/days", "--at", "2026-03-17T15:40")
    assert opened == [tmp_path / "days"]


@pytest.mark.parametrize(
    ("words", "moment"),
    [(("--date", "2019-05-02"), EVENING.isoformat()), ((), "2019-05-02T20:00+09:00")],
)
def test_a_day_that_a_table_does_not_reach_back_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], moment: str
) -> None:
    monkeypatch.setenv("KIS_REPLAY_AT", moment)
    assert "stock_master has no days before 2020-01-01" in Said("run", *words).error


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["2000-02-01T00:00+09:00", "2099-12-31T23:59+09:00"])
def test_the_first_and_the_last_moment_of_a_replay_can_be_asked_about(
    monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setenv("KIS_REPLAY_AT", moment)
    found = {line["what"]: line["state"] for line in Said("doctor", "--json").json}
    assert found["call"] == "ok"
    assert Said("quote", "005930").status == 0
    assert Said("candles", "005930").status == 0


# Dagster's own storage


def _garbage(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no database" * 1000)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no YAML": (
        lambda home: (home / "dagster.yaml").write_text("a: ["),
        "dagster.yaml is not valid",
    ),
    "a list": (lambda home: (home / "dagster.yaml").write_text("- a"), "dagster.yaml is not valid"),
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
    monkeypatch.setattr("kis_assets.cli.doctor.call", lambda _: Finding("call", "ok", ""))
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


@pytest.mark.slow
def test_a_doctor_makes_nothing_and_says_what_the_first_run_makes(home: Path) -> None:
    def state() -> str:
        lines = Said("doctor", "--json").json
        return next(it["state"] + " " + it["seen"] for it in lines if it["what"] == "dagster")

    assert state() == f"ok the first run creates {home}"
    assert not any(home.joinpath("history").iterdir())
    assert Said("run", "--table", "market_days").status == 0
    assert state() == f"ok its history in {home} is readable"


@pytest.mark.slow
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

    monkeypatch.setattr("kis_assets.cli.sql.market_of", fail)
    said = Said("sql", "SELECT 1")
    assert said.status == 1
    assert "this is a bug, please report it: RuntimeError: two lines" in said.error
    assert "test_one_sentence.py, line " in said.error
    assert "in fail" in said.error
    assert f"{TRACE}=1 shows the traceback" in said.error
    monkeypatch.setenv(TRACE, "1")
    done = CliRunner().invoke(app, ["sql", "SELECT 1"])
    assert isinstance(done.exception, RuntimeError)


@pytest.mark.parametrize("error", [typer.BadParameter("wrong"), typer.Abort(), typer.Exit(3)])
def test_what_a_command_says_itself_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, stored: Path, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("kis_assets.cli.sql.market_of", fail)
    said = Said("sql", "SELECT 1")
    assert "bug" not in said.err
    assert said.status == getattr(error, "exit_code", 1)


def test_a_disk_without_room_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/there/file")

    monkeypatch.setattr("kis_assets.cli.doctor.settings_of", fail)
    assert Said("doctor").error == "error: /there/file: No space left on device"


# Where it prints


def _process(*words: str, stdout: int, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kis_assets.cli", *words],
        env=os.environ | variables,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("sql", "SELECT 1"),
        ("sql", "SELECT 1", "--csv"),
        ("find", "삼성", "--json"),
        ("status",),
        pytest.param(("run", "--table", "market_days"), marks=pytest.mark.slow),
        pytest.param(
            ("backfill", "daily_candles", "2026-02", "2026-02", "--yes"), marks=pytest.mark.slow
        ),
    ],
    ids=" ".join,
)
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(
    words: tuple[str, ...], stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words[0] in ("run", "backfill"):
        monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path))
    reading, writing = os.pipe()
    os.close(reading)
    done = _process(*words, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr.removeprefix(f"{MOCK}\n")) == (CLOSED_PIPE, "")


def test_an_output_without_room_or_closed_is_no_trace(stored: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = _process("sql", "SELECT 1", stdout=full.fileno())
    assert done.stderr == f"{MOCK}\nerror: No space left on device\n"
    command = [sys.executable, "-m", "kis_assets.cli", "sql", "SELECT 1"]
    for_nobody = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(for_nobody, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, f"{MOCK}\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_that_cannot_take_hangul_gets_something_else(stored: Path, encoding: str) -> None:
    query = "SELECT '삼성·é\u200f' AS \"이름\""
    for option in ((), ("--csv",), ("--json",)):
        done = subprocess.run(
            [sys.executable, "-m", "kis_assets.cli", "sql", query, *option],
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        assert done.stdout
        if option == ("--json",):
            assert json.loads(done.stdout)[0]["이름"] == "삼성·é\u200f"
            assert done.stdout.isascii()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_run_goes_on_where_its_output_cannot_take_hangul(tmp_path: Path, encoding: str) -> None:
    folder = str(tmp_path / "데이터")
    given = {"KIS_DATA_DIR": folder, "DATA_SOURCE_TYPE": "mock", "PYTHONIOENCODING": encoding}
    done = _process("run", "--table", "market_days", stdout=subprocess.PIPE, **given)
    assert done.returncode == 0
    assert "\\ub370\\uc774\\ud130" in done.stdout


# What it prints


STEERING = "\x1b[31m\r\x07\x9b2J\u202e"
SEEN = r"\x1b[31m\r\x07\x9b2J\u202e"


def test_a_name_steers_no_terminal(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = f"SELECT '삼{STEERING}성' AS name, 1 AS \"{STEERING}\""
    said = Said("sql", query).out
    assert f"삼{SEEN}성" in said
    assert not set(said) & set(STEERING) - set("[31mJ2")
    assert Said("sql", query).out.count(SEEN) == 2
    (row,) = Said("sql", query, "--json").json
    assert row == {"name": f"삼{STEERING}성", STEERING: 1, "source": "mock"}
    assert not set(Said("sql", query, "--json").out) & set("\x1b\x9b\u202e")
    assert SEEN in Said("candles", STEERING, "--stored").error
    console().print(f"삼{STEERING}성")
    assert SEEN in capsys.readouterr().out
    note(STEERING)
    stop(STEERING)
    assert capsys.readouterr().err.count(SEEN) == 2


def test_a_text_is_no_formula_in_a_spreadsheet_and_a_number_stays_one(stored: Path) -> None:
    texts = "'=1+1', '+1', '-1', '@a', chr(9) || 'a', chr(13) || 'a', '삼성', ''"
    (row,) = Said("sql", f"SELECT {texts}, -1, -1.5, -1.5::DECIMAL(9, 2)", "--csv").csv
    assert list(row.values()) == [
        *("'=1+1", "'+1", "'-1", "'@a", "'\ta", "'\ra", "삼성", ""),
        *("-1", "-1.5", "-1.50"),
    ]


def test_a_new_file_of_csv_opens_in_excel_and_a_pipe_has_no_mark(
    stored: Path, tmp_path: Path
) -> None:
    query = ("sql", "SELECT '삼성' AS \"이름\"", "--csv")
    with (tmp_path / "new.csv").open("w") as new:
        _process(*query, stdout=new.fileno())
    assert (tmp_path / "new.csv").read_bytes() == "\ufeff이름\n삼성\n".encode()
    with (tmp_path / "new.csv").open("a") as more:
        _process(*query, stdout=more.fileno())
    assert (tmp_path / "new.csv").read_text().count("\ufeff") == 1
    assert _process(*query, stdout=subprocess.PIPE).stdout == "이름\n삼성\n"


def test_polars_and_duckdb_leave_out_the_mark_and_pythons_csv_does_where_it_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "marked.csv"
    path.write_text("\ufeff이름\n삼성\n", encoding="utf-8")
    assert pl.read_csv(path).columns == ["이름"]
    assert duckdb.read_csv(str(path)).columns == ["이름"]
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert next(csv.reader(file)) == ["이름"]


# Where it stores


@pytest.mark.parametrize("letter", ["*", "?", "[", "\\"])
def test_a_data_folder_that_duckdb_takes_for_a_pattern_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letter: str
) -> None:
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "there" / f"a{letter}b"))
    for words in (
        *(("run",), ("doctor",), ("status",), ("sql", "SELECT 1"), ("publish",), ("repair",)),
        ("backfill", "daily_candles", "2026-02", "2026-02"),
    ):
        assert f"has a {letter} in it" in Said(*words).error
    assert not (tmp_path / "there").exists()


def test_a_working_folder_counts_as_a_part_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "[mine]").mkdir()
    monkeypatch.chdir(tmp_path / "[mine]")
    assert "has a [ in it" in Said("status").error


NAMES = ("a b", "it's", 'a"b', "50%", "#", "{x}", "$HOME", "한글", normalize("NFD", "한글"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, "p%20a"])
def test_any_other_data_folder_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_STOCK_CODES", "005930")
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / name))
    if name == "p%20a":
        monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    run = _process("run", "--table", "stock_master", "--table", "daily_candles", stdout=-1)
    assert run.returncode == 0, run.stdout + run.stderr
    asked = "SELECT count(*) AS n FROM daily_candles JOIN stock_master USING (stock_code)"
    assert Said("sql", asked, "--json").json[0]["n"] > 0
    assert [path.name for path in tmp_path.iterdir() if path.name != "dagster"] == [name]

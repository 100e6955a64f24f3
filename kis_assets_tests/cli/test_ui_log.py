"""What `kis-assets ui` shows of Dagster's log."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from click import unstyle

from kis_assets.cli import ui_log
from kis_assets.cli.ui_log import Brief, told_briefly
from kis_assets_tests.cli.test_reading_commands import Said

STAMP = "2026-11-27 16:06:09 +0000"
QUIET = (
    f"\x1b[32m{STAMP}\x1b[0m - dagster.daemon.SensorDaemon - \x1b[34mINFO\x1b[0m - Checking",
    f"{STAMP} - dagster - DEBUG - __ASSET_JOB - a8a9 - 20682 - RUN_START - Started execution.",
    f"{STAMP} - dagster - INFO - __ASSET_JOB - a8a9 - prices - 3 of 3 stocks (035420)",
)
NEEDED = (
    "http://127.0.0.1:3000 - stop it with Ctrl-C",
    "error: port 3000 cannot be had: Address already in use",
    "Traceback (most recent call last):",
    f"{STAMP} - dagster - ERROR - __ASSET_JOB - a8a9 - prices - STEP_FAILURE - it - INFO - x",
    f"\x1b[32m{STAMP}\x1b[0m - dagster.daemon - \x1b[33mWARNING\x1b[0m - no heartbeat",
    f"{STAMP} - dagster - CRITICAL - out of memory",
)


@pytest.mark.parametrize("line", QUIET)
def test_what_goes_well_is_not_shown(line: str) -> None:
    assert not Brief().shows(line)


@pytest.mark.parametrize("line", NEEDED)
def test_address_warnings_and_errors_are_shown(line: str) -> None:
    assert Brief().shows(line)


def test_what_stands_below_a_line_belongs_to_it() -> None:
    brief = Brief()
    lines = [NEEDED[3], "  File x, line 1", QUIET[0], "  and more of it", NEEDED[2], "  File y"]
    assert [brief.shows(line) for line in lines] == [True, True, False, False, True, True]


def test_what_another_process_says_within_a_traceback_hides_nothing_of_it() -> None:
    """Several processes write to the log; the frames end where a line is not indented."""
    brief, head = Brief(), NEEDED[2]
    lines = [head, "  File x, line 1", QUIET[0], "    it()", QUIET[1], "KeyError: 'x'"]
    assert [brief.shows(line) for line in lines] == [True, True, False, True, False, True]
    assert [brief.shows(line) for line in (QUIET[0], "  and more of it")] == [False, False]


def test_what_is_written_just_before_the_log_begins_anew_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, is_written, is_emptied = tmp_path / "ui.log", Event(), Event()

    class Limit:
        """Another process writes while the size is held against it."""

        def __lt__(self, size: int) -> bool:
            if size and not is_written.is_set():
                with path.open("ab") as log:
                    log.write(b"in between\n")
                is_written.set()
            elif is_written.is_set() and not size:
                is_emptied.set()
            return size > 0

    monkeypatch.setattr(ui_log, "_EVERY", 0.001)
    monkeypatch.setattr(ui_log, "_MOST", Limit())
    with told_briefly(path) as log:
        log.write(b"before\n")
        assert is_emptied.wait(10)
        log.write(b"after\n")
    assert capsys.readouterr().err.splitlines() == ["before", "in between", "after"]


def test_all_that_was_written_is_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ui.log"
    with told_briefly(path) as log:
        for line in (*QUIET, *NEEDED):
            log.write(f"{line}\n".encode())
        log.write(b"interrupted")
    said = capsys.readouterr()
    assert said.out.splitlines() == [NEEDED[0]]
    assert said.err.splitlines() == [*map(unstyle, NEEDED[1:]), "interrupted"]


@pytest.mark.usefixtures("narrow_terminal")
@pytest.mark.parametrize(("words", "is_brief"), [((), True), (("--verbose",), False)])
def test_all_of_it_is_shown_to_whoever_asks(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], is_brief: bool
) -> None:
    logs: list[object] = []

    def serve(_words: object, _environment: object, log: object = None) -> int:
        logs.append(log)
        return 0

    monkeypatch.setattr("kis_assets.cli.ui._serve", serve)
    assert Said("ui", "--port", "0", *words).status == 0
    assert [log is not None for log in logs] == [is_brief]

"""What `run` and `backfill` say at their end: where things are, and what to type next."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from kis_assets.execution.history import Canceled
from kis_assets.execution.plan import Plan
from kis_assets.execution.runner import Outcome
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.conftest import ENVIRONMENT, EVENING

pytestmark = pytest.mark.usefixtures("narrow_terminal")


@pytest.fixture
def written(stored: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Settings whose data is a lake of the test's own, with rows in it."""
    shutil.copytree(stored, tmp_path / "data" / "mock")
    monkeypatch.setenv("KIS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.slow
def test_a_run_of_the_report_says_where_the_page_is(written: Path) -> None:
    said = Said("run", "--table", "market_report", "--date", str(EVENING.date()))
    assert said.status == 0, said.out
    (path,) = re.findall(r"^market_report: (\S+\.html)$", said.out, re.MULTILINE)
    assert "<html" in Path(path).read_text(encoding="utf-8")


def test_a_run_says_what_it_makes_and_how_long_it_takes_before_it_begins(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def canceled(*_: Any, **__: Any) -> None:
        raise Canceled

    monkeypatch.setattr("kis_assets.execution.runner.materialize", canceled)
    said = " ".join(Said("run", "--table", "market_days").out.split())
    mock, makes = said.index("MOCK DATA"), said.index("Makes 1 table of 2026-")
    assert mock < makes < said.index("Canceled")
    assert "About 2 s: this machine invents the market" in said


def assert_opens(words: list[str]) -> None:
    """That a command serves the UI at the address which it says, until Ctrl-C."""
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        address = process.stdout.readline().split()[0]
        with urlopen(f"{address}/server_info", timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.slow
def test_what_a_run_says_to_type_next_works_as_it_stands(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said("run", "--table", "market_days")
    looked, queried = said.out.split("Next:\n")[1].strip().splitlines()
    program, command = looked.split("#")[0].split()
    assert (Path(program).name, command) == ("kis-assets", "ui")
    assert_opens([program, command, "--port", "0"])
    done = subprocess.run(queried, shell=True, env=ENVIRONMENT, capture_output=True, text=True)
    assert "삼성전자" in done.stdout, done.stderr


def test_ctrl_c_anywhere_ends_a_command_with_one_word(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kis_assets.cli.sql.market_of", interrupted)
    said = Said("sql", "SELECT 1")
    assert (said.status, said.out, said.err) == (130, "", "interrupted\n")


def test_a_backfill_that_is_interrupted_at_once_says_where_it_was(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kis_assets.execution.backfill.run", interrupted)
    said = Said("backfill", "daily_candles", "2025-11", "2025-12", "--yes")
    assert said.status == 130
    assert "stopped at 2025-11-01 (interrupted): 0 of 2 partitions are stored" in said.err


def test_a_backfill_that_is_canceled_in_the_ui_says_so(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def canceled(*_: Any, **__: Any) -> None:
        raise Canceled

    monkeypatch.setattr("kis_assets.execution.backfill.run", canceled)
    said = Said("backfill", "daily_candles", "2025-11", "2025-12", "--yes")
    assert said.status == 1
    assert "stopped at 2025-11-01 (canceled in the UI): 0 of 2 partitions" in said.err


def test_a_run_that_is_canceled_in_the_ui_says_so(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def canceled(*_: Any, **__: Any) -> None:
        raise Canceled

    monkeypatch.setattr("kis_assets.execution.runner.materialize", canceled)
    said = Said("run", "--table", "market_days")
    assert said.status == 1
    assert "Canceled in the UI at market_days" in said.out


def test_the_bar_of_a_backfill_does_not_go_back_when_checks_begin(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(
        plan: Plan,
        *_: Any,
        starting: Callable[[str], None],
        progress: Callable[[int, int, str], None],
    ) -> Iterator[Outcome]:
        for partition in plan.partitions:
            starting(partition)
            for completed in (*range(1, plan.stocks + 1), *range(1, 3)):
                progress(completed, plan.stocks, "")
            yield Outcome(plan.table, partition)

    monkeypatch.setattr("kis_assets.execution.backfill.run", run)
    said = Said("backfill", "daily_candles", "2025-11", "2025-12", "--yes")
    assert said.status == 0, said.err
    assert "100 %, 2 done" in said.out

"""`KIS_LOG_FORMAT=json`: each line of standard error is a JSON object, and holds no secret."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kis_assets.monitoring import json_log
from kis_assets.security.redaction import HIDDEN, remember
from kis_assets.settings import Settings, SettingsError

SECRET = "삼성-Canary\"Secret'0123456789"


@pytest.fixture
def on(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Logging as JSON, and as it was after the test."""
    root = logging.getLogger()
    before, shown, level = root.handlers[:], warnings.showwarning, root.level
    assert json_log.begin(Settings.load(kis_log_format="json"))
    yield
    json_log._now.update(handler=None, run="")
    logging.captureWarnings(False)
    root.handlers[:], warnings.showwarning = before, shown
    root.setLevel(level)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_time_level_logger_and_message(
    on: None, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("kis_assets.kis.token").warning("waiting %d s\nand more", 60)
    (found,) = lines(capfd.readouterr().err)
    assert datetime.fromisoformat(found.pop("time")).tzinfo is not None
    assert found == {
        "level": "warning",
        "logger": "kis_assets.kis.token",
        "message": "waiting 60 s\nand more",
    }


def test_a_line_of_a_run_names_it(on: None, capfd: pytest.CaptureFixture[str]) -> None:
    json_log.of_run("run-1")
    logging.getLogger("kis_assets").error("in a thread of the run")
    json_log.of_run("")
    logging.getLogger("kis_assets").error("after it")
    of_dagster = json_log.logger_of_runs("dagster", "INFO")
    of_dagster.info("a step", extra={"dagster_meta": {"run_id": "run-2"}})
    of_dagster.debug("too quiet")
    assert [it.get("run_id") for it in lines(capfd.readouterr().err)] == ["run-1", None, "run-2"]


def test_no_line_holds_a_secret(on: None, capfd: pytest.CaptureFixture[str]) -> None:
    remember(SECRET)
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        logging.getLogger("kis_assets").exception("sent %r and %s", SECRET[:20], SECRET)
    warnings.showwarning(f"Bearer abc and {SECRET}", UserWarning, "file.py", 1)  # type: ignore[arg-type]
    json_log.say(logging.ERROR, f"it is {SECRET}")
    text = capfd.readouterr().err
    failed, warned, said = lines(text)
    assert "ValueError: refused " + HIDDEN in failed["error"]
    assert said["message"] == f"it is {HIDDEN}"
    assert f"Bearer {HIDDEN}" in warned["message"]
    assert "0123456789" not in text
    assert "Canary" not in text


def test_another_word_is_refused() -> None:
    with pytest.raises(SettingsError, match="KIS_LOG_FORMAT"):
        Settings.load(kis_log_format="xml")


def run(code_or_module: list[str], tmp_path: Path, **variables: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, *code_or_module],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"KIS_LOG_FORMAT": "json", "KIS_DATA_DIR": str(tmp_path)} | variables,
    )
    return done.stdout, done.stderr


def test_what_a_command_says_beside_its_answer_is_json(tmp_path: Path) -> None:
    out, err = run(["-m", "kis_assets.cli", "status"], tmp_path)
    found = lines(err)
    assert {(it["level"], it["logger"]) for it in found} == {("warning", "kis_assets.cli")}
    assert sorted(it["message"][:14] for it in found) == ["MOCK DATA - an", "no credentials"]
    assert "mock" in out


@pytest.mark.slow
def test_a_run_of_a_worker_writes_json_and_names_its_run(tmp_path: Path) -> None:
    """As the launchers start it: by Dagster's own program, in a process of its own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    command = "-m dagster job execute -m kis_assets.definitions -j market_calendar"
    _, err = run(
        [*command.split(), "--tags", '{"dagster/partition": "2026"}'],
        tmp_path,
        DAGSTER_HOME=str(home),
        PYTHONWARNINGS="ignore",
        DATA_SOURCE_TYPE="mock",
        KIS_STOCK_CODES="005930",
    )
    found = lines(err)
    assert any("STEP_START" in it["message"] for it in found), err[-2000:]
    assert len({it["run_id"] for it in found if it["logger"] == "dagster"}) == 1

"""`KIS_LOG_FORMAT=json`: each line of standard error is a JSON object, and holds no secret."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
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
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    assert json_log.begin(Settings.load(kis_log_format="json"))
    yield
    json_log._now.update(handler=None, run="")
    logging.captureWarnings(False)
    root.handlers[:], warnings.showwarning = before, shown
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
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


def test_an_error_that_ends_a_thread_is_one_line(
    on: None, capfd: pytest.CaptureFixture[str]
) -> None:
    remember(SECRET)

    def fail() -> None:
        raise ValueError(f"refused {SECRET}")

    thread = threading.Thread(target=fail, name="feed")
    thread.start()
    thread.join()
    (found,) = lines(capfd.readouterr().err)
    assert found["level"] == "critical"
    assert found["message"] == "the thread feed ended with an error"
    assert found["error"].endswith(f"ValueError: refused {HIDDEN}")


def test_a_thread_that_ends_on_purpose_says_nothing(
    on: None, capfd: pytest.CaptureFixture[str]
) -> None:
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert capfd.readouterr().err == ""


def test_an_error_that_nobody_can_catch_is_one_line(
    on: None, capfd: pytest.CaptureFixture[str]
) -> None:
    remember(SECRET)

    class Connection:
        def __repr__(self) -> str:
            return SECRET

        def __del__(self) -> None:
            raise ValueError(f"refused {SECRET}")

    Connection()
    (found,) = lines(capfd.readouterr().err)
    assert found["message"].startswith("an error was ignored in ")
    assert found["message"].endswith("Connection.__del__")
    assert found["error"].endswith(f"ValueError: refused {HIDDEN}")


def test_a_record_with_wrong_arguments_is_one_line_without_them(
    on: None, capfd: pytest.CaptureFixture[str]
) -> None:
    made = json_log.logger_of_runs("kis_assets.kis", "INFO")
    made.error("waiting %d s", "never-told-to-anybody")
    text = capfd.readouterr().err
    (found,) = lines(text)
    assert found["level"] == "error"
    assert found["logger"] == "kis_assets.kis"
    assert found["message"].startswith("a record could not be formatted: TypeError at ")
    assert "test_json_log.py:" in found["message"]
    assert "never-told" not in text


def test_an_error_that_ends_the_program_and_one_while_it_ends_are_lines(tmp_path: Path) -> None:
    program = """
from kis_assets.monitoring import json_log
from kis_assets.settings import Settings

class Connection:
    def __del__(self):
        raise OSError("closed twice")

json_log.begin(Settings.load())
left = Connection()
raise ValueError("refused " + Settings.load().kis_app_secret.get_secret_value())
"""
    secret = {"KIS_APP_KEY": "canary-key-0123456789", "KIS_APP_SECRET": "canary/of+a/secret=="}
    _, err = run(["-c", program], tmp_path, **secret)
    ended, late = lines(err)
    assert ended["level"] == "critical"
    assert ended["message"] == "the program ended with an error"
    assert ended["error"].endswith(f"ValueError: refused {HIDDEN}")
    assert late["error"].endswith("OSError: closed twice")


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


@pytest.mark.parametrize(
    "program",
    [
        ["-m", "kis_assets.cli", "status"],
        pytest.param(["-m", "kis_assets.execution.worker"], marks=pytest.mark.scale),
    ],
)
def test_a_wrong_setting_is_told_as_json(program: list[str], tmp_path: Path) -> None:
    _, err = run(program, tmp_path, KIS_API_RATE_LIMIT="many")
    (found,) = lines(err)
    assert found["level"] == "error"
    assert "KIS_API_RATE_LIMIT" in found["message"]


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

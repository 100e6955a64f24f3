"""`KIS_LOG_FORMAT=json`: what is logged, as one JSON object a line on standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kis_assets.settings import Settings

DAGSTERS = ("dagster", "dagster-webserver", "dagit")
"""Loggers to which Dagster's programs give handlers of their own."""
_now: dict[str, Any] = {"handler": None, "run": ""}


class JSONLines(logging.Handler):
    """A record as JSON: time, level, logger, message; the run and the error where there is one."""

    def __init__(self) -> None:
        # A program that ends can import nothing more.
        from kis_assets.monitoring.alerts import without_secrets

        super().__init__()
        self._without_secrets = without_secrets

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, without any known secret."""
        try:
            sys.stderr.write(self.line(record) + "\n")
            sys.stderr.flush()
        except Exception:  # as every handler of Python does: no log line ends what it tells of
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Write one line about a record that cannot be formatted, without its arguments."""
        kind = getattr(sys.exc_info()[0], "__name__", "error")
        where = f"{kind} at {record.pathname}:{record.lineno}"
        said = f"a record could not be formatted: {where}"
        told = logging.LogRecord(record.name, record.levelno, "", 0, said, None, None)
        with suppress(Exception):  # standard error may be closed
            sys.stderr.write(self.line(told) + "\n")
            sys.stderr.flush()

    def line(self, record: logging.LogRecord) -> str:
        """What is written of a record."""
        dagsters: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "run_id": dagsters.get("run_id") or _now["run"],
        }
        if record.exc_info and record.exc_info[1]:
            found["error"] = "".join(traceback.format_exception(record.exc_info[1])).strip()
        # Secrets are looked for before quotation marks and Hangul in them are escaped.
        told = {name: self._without_secrets(value) for name, value in found.items() if value}
        return json.dumps(told, ensure_ascii=False)


def begin(settings: Settings, level: int = logging.WARNING) -> bool:
    """Where `KIS_LOG_FORMAT=json`, write what all loggers say as JSON, from `level` on.

    Returns:
        Whether it does. Called again, it takes the place of what was set up meanwhile.
    """
    if settings.kis_log_format != "json":
        return False
    if _now["handler"] is None:
        _now["handler"] = JSONLines()
        logging.captureWarnings(True)
    for name in DAGSTERS:
        logging.getLogger(name).handlers.clear()
    logging.root.handlers[:] = [_now["handler"]]
    logging.root.setLevel(min(level, logging.root.level))
    sys.excepthook = lambda _, error, __: _uncaught("the program ended with an error", error)
    sys.unraisablehook = _ignored
    threading.excepthook = _ended
    return True


def _uncaught(message: str, error: BaseException | None) -> None:
    _handle("kis_assets.uncaught", logging.CRITICAL, message, error)


def _ignored(about: sys.UnraisableHookArgs) -> None:
    # The object may show a secret, so it is told by its name alone.
    name = getattr(about.object, "__qualname__", type(about.object).__name__)
    _uncaught(f"an error was ignored in {name}", about.exc_value)


def _ended(about: threading.ExceptHookArgs) -> None:
    if about.exc_type is not SystemExit:
        name = about.thread.name if about.thread else "of unknown name"
        _uncaught(f"the thread {name} ended with an error", about.exc_value)


def logger_of_runs(name: str, level: str | int) -> logging.Logger:
    """The logger of Dagster's runs, in the place of its coloured one."""
    made = logging.Logger(name, level)
    made.addHandler(_now["handler"])
    return made


def is_on() -> bool:
    """Whether this process writes JSON, also before its settings are read or if they are wrong."""
    return _now["handler"] is not None or os.environ.get("KIS_LOG_FORMAT") == "json"


def say(level: int, message: str) -> None:
    """Write a sentence of a command itself, however quiet its loggers are."""
    _handle("kis_assets.cli", level, message)


def _handle(logger: str, level: int, message: str, error: BaseException | None = None) -> None:
    about = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord(logger, level, "", 0, message, None, about)
    (_now["handler"] or JSONLines()).handle(record)


def of_run(run_id: str) -> None:
    """Name the run that this process is at work on; empty when it has ended."""
    _now["run"] = run_id

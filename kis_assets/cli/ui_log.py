"""What `ui` shows of all that Dagster's processes log: what a person needs, and no more."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import typer

_EVERY = 0.2
"""Seconds between two looks at the log."""
_MOST = 1_000_000
"""Bytes after which the log begins anew: a UI may run for months."""
_COLOUR = r"(?:\x1b\[[\d;]*m)*"
_STAMP = rf"{_COLOUR}\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+\d]+{_COLOUR}"
_NOISE = re.compile(rf"{_STAMP} - \S+ - {_COLOUR}(DEBUG|INFO){_COLOUR} - ")

_TRACEBACK = "Traceback (most recent call last)"


@contextmanager
def told_briefly(path: Path) -> Generator[IO[bytes]]:
    """A log for processes to write to; warnings, errors and other lines in it are shown meanwhile.

    It is a file and no pipe: a run that ends in order may outlive whoever reads.
    """
    ended = threading.Event()
    with path.open("ab", buffering=0) as log:
        reader = threading.Thread(target=_follow, args=(path, ended), daemon=True)
        reader.start()
        try:
            yield log
        finally:
            ended.set()
            reader.join()


def _follow(path: Path, ended: threading.Event) -> None:
    brief, rest = Brief(), b""
    with path.open("rb+") as log:
        while True:
            is_last = ended.wait(_EVERY)
            *lines, rest = (rest + log.read()).split(b"\n")
            for line in lines + ([rest] if is_last and rest else []):
                if (text := line.decode(errors="replace")) and brief.shows(text):
                    typer.echo(text, err=not text.startswith("http"))
            if is_last:
                return
            if not lines and log.tell() > _MOST:
                late = log.read()
                rest += late
                if not late:  # nobody writes just now
                    log.truncate(0)
                    log.seek(0)


class Brief:
    """Which lines of a log are shown: not those of DEBUG and INFO, and what is below them.

    Several processes write to it, so one may log between the lines of another's traceback.
    """

    def __init__(self) -> None:
        self._is_shown = True
        self._is_traceback = False

    def shows(self, line: str) -> bool:
        """Whether the next line is."""
        if _NOISE.match(line):
            self._is_shown = False
        elif _TRACEBACK in line or not line.startswith((" ", "\t")):
            self._is_shown, self._is_traceback = True, _TRACEBACK in line
        else:  # it belongs to one above
            return self._is_shown or self._is_traceback
        return self._is_shown

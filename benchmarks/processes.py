"""Processes of a KIS client that begin together on one app key, and what came of them.

They share a home folder, as those of one user do, but nothing else: what they have in common is
what their client keeps there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.server import Counted, counted
from benchmarks.setting import new_key

LIMIT = 90.0
"""Seconds more than it was given after which a process is ended."""


def run(
    client: str,
    job: str,
    url: str,
    codes: Sequence[str],
    processes: int,
    seconds: float,
    *,
    has_token: bool = False,
) -> tuple[list[dict[str, Any]], Counted | None]:
    """What processes of a client say that begin together, and what the server counted of them."""
    key = new_key()
    with tempfile.TemporaryDirectory() as name:
        if has_token:
            _together([[client, job, url, key, "0", codes[0]]], Path(name), url)
        words = [client, job, url, key, str(seconds), *codes]
        return _together([words] * processes, Path(name), url)


def _together(
    each: list[list[str]], home: Path, url: str
) -> tuple[list[dict[str, Any]], Counted | None]:
    path = os.pathsep.join(str(Path(it).absolute()) for it in sys.path)
    given = {**os.environ, "HOME": str(home), "PYTHONPATH": path}
    given |= {f"XDG_{it}_HOME": str(home / it) for it in ("CACHE", "CONFIG", "DATA", "STATE")}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.one_client", *words], cwd=home, env=given,
                    text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )
            for words in each
        ]  # fmt: skip
        clocks = [
            threading.Timer(float(words[4]) + LIMIT, it.kill)
            for words, it in zip(each, started, strict=True)
        ]
        for clock in clocks:
            clock.daemon = True
            clock.start()
        ready = [it.stdout.readline().strip() for it in started if it.stdout]
        before = counted(url)
        if set(ready) == {"ready"}:
            for it in started:
                print(file=it.stdin, flush=True)
        said = [it.communicate()[0] for it in started]
        after = counted(url)
        for clock in clocks:
            clock.cancel()
    found = [_told(first, rest) for first, rest in zip(ready, said, strict=True)]
    return found, after - before if after and before else None


def _told(first: str, rest: str) -> dict[str, Any]:
    if first.startswith("not installed"):
        return {"cannot": f"{first}; make bench installs it"}
    try:
        return json.loads(rest.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"cannot": f"it broke off, or took more than {LIMIT:.0f} s"}

"""This project beside the KIS clients that are on PyPI: one process, and several on one key."""

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

from benchmarks.clients import CLIENTS
from benchmarks.measure import Line, share
from benchmarks.server import RATE, counted, new_key, served

OURS, *PEERS = CLIENTS
JOBS = {"prices": "prices", "books": "order books", "days": "a month of days"}
LIMIT = 90.0
"""Seconds after which a process is ended that has not come to its end."""


def side_by_side(url: str | None, codes: Sequence[str], seconds: float) -> list[Line]:
    """Each job by each client in one process, then by two and four processes on one key."""
    lines: list[Line] = []
    with served(url, RATE) as address:
        for job, name in JOBS.items():
            of_job = f"{name} of {len(codes)} stocks"
            lines += _compared(
                "one process", of_job, {it: _one(it, job, address, codes) for it in CLIENTS}
            )
        for processes in (2, 4):
            found = {it: _several(it, address, codes, processes, seconds) for it in CLIENTS}
            lines += _compared("on one key", f"{processes} processes, {seconds:g} s", found)
    return lines


def _compared(group: str, name: str, found: dict[str, Line | str]) -> list[Line]:
    """A line for each client; that of this project stands beside all others."""
    values = {it: line.value for it, line in found.items() if isinstance(line, Line) and line.value}
    lines: list[Line] = []
    for client, line in found.items():
        title = f"{name}: {client}"
        if isinstance(line, str):
            lines.append(Line(group, title, None, beside=line))
            continue
        wanted = PEERS if client == OURS else ()
        others = {it: values[it] for it in wanted if it in values}
        lines.append(Line(group, title, line.value, line.unit, beside=line.beside, others=others))
    return lines


def _one(client: str, job: str, url: str, codes: Sequence[str]) -> Line | str:
    """How many stocks a second came."""
    (found,), delta = _run(client, job, url, codes, 1, 0.0)
    if "cannot" in found:
        return f"cannot: {found['cannot']}"
    seconds = found["seconds"]
    said = [f"{found['came']} of {found['asked']} came in {seconds:.1f} s", *_counts(delta)]
    if delta is not None:
        said.append(f"{share(delta.requests - delta.refused, seconds, RATE):.0f} % of the rate")
    return Line("", "", found["came"] / seconds, "stocks/s", beside=", ".join(said))


def _several(
    client: str, url: str, codes: Sequence[str], processes: int, seconds: float
) -> Line | str:
    """Which share of the allowed rate processes use together that start at the same moment."""
    job = "prices" if client == "mojito2" else "books"  # one request a stock
    found, delta = _run(client, job, url, codes, processes, seconds)
    came = [it.get("came", 0) for it in found]
    reasons = [it["cannot"] for it in found if "cannot" in it]
    if len(reasons) == len(found):
        return f"cannot: {reasons[0]}"
    whole = max(it.get("whole", 0.0) for it in found)
    said = [f"{JOBS[job]} of {sum(came)} stocks came", *_counts(delta)]
    if delta is not None:
        said.append(f"{delta.tokens} tokens issued")
    said.append(f"each {', '.join(map(str, came))} (least by most {min(came) / max(1, *came):.2f})")
    if failed := sum(it.get("failed_starts", 0) for it in found) + len(reasons):
        said.append(f"{failed} starts failed, such as for want of a token")
    used = sum(came) if delta is None else delta.requests - delta.refused
    return Line("", "", share(used, whole, RATE), "% of the rate", beside=", ".join(said))


def _counts(delta: Any) -> list[str]:
    return [] if delta is None else [f"{delta.requests} requests", f"{delta.refused} refused"]


def _run(
    client: str, job: str, url: str, codes: Sequence[str], processes: int, seconds: float
) -> tuple[list[dict[str, Any]], Any]:
    """What processes of a client say that begin together, and what the server counted of them."""
    words = [client, job, url, new_key(), str(seconds), *codes]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        home = Path(name)
        given = {**os.environ, "HOME": name, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        given |= {f"XDG_{it}_HOME": str(home / it) for it in ("CACHE", "CONFIG", "DATA", "STATE")}
        command = [sys.executable, "-m", "benchmarks.clients", *words]
        started = [
            stack.enter_context(
                subprocess.Popen(command, cwd=home, env=given, text=True, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
            for _ in range(processes)
        ]  # fmt: skip
        clocks = [threading.Timer(seconds + LIMIT, it.kill) for it in started]
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
    if first == "not installed":
        return {"cannot": "not installed; make bench installs it"}
    try:
        return json.loads(rest.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"cannot": f"it broke off, or took more than {LIMIT:.0f} s"}

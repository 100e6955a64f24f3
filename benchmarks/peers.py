"""This project beside the KIS clients that are on PyPI: one process, and several on one key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.clients import CLIENTS
from benchmarks.measure import Line, share
from benchmarks.processes import run
from benchmarks.server import Counted, listed, served
from benchmarks.setting import RATE

OURS, *PEERS = CLIENTS
JOBS = {"prices": "prices", "books": "order books", "days": "a month of days"}
COLD = 6.0
"""Seconds at most in which processes that begin without a token are to get their first answer."""


def side_by_side(folder: Path, url: str | None, stocks: int, seconds: float) -> list[Line]:
    """Each job by each client in one process, then by two and four processes on one key."""
    lines: list[Line] = []
    with served(url, RATE) as address:
        codes = listed(folder, address, stocks)
        for job, name in JOBS.items():
            of_job = f"{name} of {len(codes)} stocks"
            lines += _compared(
                "one process", of_job, {it: _one(it, job, address, codes) for it in CLIENTS}
            )
        for processes in (2, 4):
            found = {it: _several(it, address, codes, processes, seconds) for it in CLIENTS}
            lines += _compared("on one key", f"{processes} processes, {seconds:g} s", found)
        found = {it: _cold(it, address, codes, 4, min(seconds, COLD)) for it in CLIENTS}
        lines += _compared("on one key", "4 begin at once without a token", found)
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
    (found,), delta = run(client, job, url, codes, 1, 0.0)
    if "cannot" in found:
        return f"cannot: {found['cannot']}"
    seconds = found["until"] - found["from"]
    said = [f"{found['came']} of {found['asked']} came in {seconds:.1f} s", *_counts(delta)]
    if delta is not None:
        said.append(f"{share(delta.requests - delta.refused, seconds, RATE):.0f} % of the rate")
    return Line("", "", found["came"] / seconds, "stocks/s", beside=", ".join(said))


def _several(
    client: str, url: str, codes: Sequence[str], processes: int, seconds: float
) -> Line | str:
    """Which share of the allowed rate processes use together that have a token already."""
    job = _job(client)
    found, delta = run(client, job, url, codes, processes, seconds, has_token=True)
    if reason := _reason(found):
        return reason
    came = [it.get("came", 0) for it in found]
    worked = [it for it in found if "until" in it]
    whole = max(it["until"] for it in worked) - min(it["from"] for it in worked)
    said = [f"{JOBS[job]} of {sum(came)} stocks came", *_counts(delta)]
    said.append(f"least by most of them {min(came) / max(1, *came):.2f}")
    used = sum(came) if delta is None else delta.requests - delta.refused
    return Line("", "", share(used, whole, RATE), "% of the rate", beside=", ".join(said))


def _cold(
    client: str, url: str, codes: Sequence[str], processes: int, seconds: float
) -> Line | str:
    """How many of these processes get an answer soon where one token is issued a minute."""
    found, delta = run(client, _job(client), url, codes, processes, seconds)
    if reason := _reason(found):
        return reason
    said = [f"{delta.tokens} tokens issued"] if delta is not None else []
    if failed := sum(it.get("failed_starts", 1) for it in found):
        said.append(f"{failed} starts failed and were made again")
    firsts = [it["first"] for it in found if it.get("first") is not None]
    working = sum(first <= seconds for first in firsts)
    if firsts:
        said.append(f"the last of them after {max(firsts):.1f} s")
    return Line(
        "", "", working, f"of {processes} work within {seconds:g} s", beside=", ".join(said)
    )


def _job(client: str) -> str:
    """What takes one request a stock, as far as there is such a thing."""
    return "prices" if client == "mojito2" else "books"


def _reason(found: list[dict[str, Any]]) -> str:
    """Why none of these processes could do it; empty where one could."""
    reasons = [it["cannot"] for it in found if "cannot" in it]
    return f"cannot: {reasons[0]}" if len(reasons) == len(found) else ""


def _counts(delta: Counted | None) -> list[str]:
    return [] if delta is None else [f"{delta.requests} requests", f"{delta.refused} refused"]

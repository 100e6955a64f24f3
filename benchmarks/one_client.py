"""One KIS client at work, in a process of its own.

`python -m benchmarks.one_client NAME JOB URL KEY SECONDS CODES` says `ready` when its modules are
loaded, begins at the next line of its input, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.clients import CLIENTS, MODULES

BATCH = {"kis_assets": 36}
"""Stocks that a client is asked for at once while a time runs."""


class Cannot(Exception):
    """A client has no such thing, and why."""


def run(name: str, job: str, url: str, key: str, seconds: float, codes: Sequence[str]) -> Any:
    """Do a job once, or again and again until a time is over; what came of it.

    Returns:
        `asked` and `came`, in stocks; `failed_starts`; `first`, the seconds until something came;
        `from` and `until`, when it was at work, by the clock that processes share.
    """
    began, starts, work = time.monotonic(), 0, None
    while work is None:
        try:
            jobs = CLIENTS[name](url, key)
            if job not in jobs:
                raise Cannot(f"{name} has none of these")
            work = jobs[job]
        except Cannot:
            raise
        except Exception as error:
            # Another process may have asked for a token in this minute: it is started anew.
            starts += 1
            if time.monotonic() - began > max(seconds, 5.0):
                raise Cannot(f"did not start: {type(error).__name__}: {error}"[:200]) from None
            time.sleep(1)
    asked = came = 0
    first: float | None = None
    # This project asks for many at once, the others for one stock after another.
    at_once = BATCH.get(name, 1) if seconds else len(codes)
    working = time.monotonic()
    while not asked or time.monotonic() - working < seconds:
        # The first of all alone, to know when it came.
        count = at_once if asked or not seconds else 1
        came += work([codes[(asked + place) % len(codes)] for place in range(count)])
        asked += count
        if came and first is None:
            first = time.monotonic() - began
    return {"asked": asked, "came": came, "failed_starts": starts, "first": first,
            "from": working, "until": time.monotonic()}  # fmt: skip


def main() -> None:
    """See the module."""
    name, job, url, key, seconds, *codes = sys.argv[1:]
    try:
        __import__(MODULES[name])
    except ImportError as error:
        print(f"not installed: {error.name}", flush=True)
        return
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        found = run(name, job, url, key, float(seconds), codes)
    except Cannot as reason:
        found = {"cannot": str(reason)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

"""A process that asks for prices from several threads for some time: run by tests, beside others.

    python -m kis_assets_tests.support.asking SECONDS THREADS [--live] [--each REQUESTS]

Settings come from the environment. It says `ready`, waits for a line, asks, and says as JSON how
many answers each thread got and what went wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kis_assets.errors import KISError
from kis_assets.kis.client import Client
from kis_assets.kis.quotes import PRICE
from kis_assets.settings import Settings

SAMSUNG = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float)
    parser.add_argument("threads", type=int)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--each", type=int, help="requests of a thread, after which it ends")
    arguments = parser.parse_args()
    client = Client(Settings.load())
    failures: Counter[str] = Counter()
    answers = [0] * arguments.threads

    firsts: list[float] = []
    overheads: list[float] = []
    memory: list[int] = []
    waited = threading.local()

    def as_waiting(call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, whose time is not the client's own."""

        def timed(*given: Any, **named: Any) -> Any:
            before = time.monotonic()
            try:
                return call(*given, **named)
            finally:
                waited.seconds = getattr(waited, "seconds", 0.0) + time.monotonic() - before

        return timed

    for account in client.accounts.all:
        permits = account.quota
        assert permits is not None
        permits._sleep = as_waiting(time.sleep)
        for turn in permits._turns.values():  # two at a time of a process wait for a permit
            turn.acquire = as_waiting(turn.acquire)  # type: ignore[method-assign]
    client._wire.receive = as_waiting(client._wire.receive)  # type: ignore[method-assign]

    def work(number: int) -> None:
        started = time.monotonic()
        while time.monotonic() < started + arguments.seconds and answers[number] != arguments.each:
            before, waited.seconds = time.monotonic(), 0.0
            try:
                client.ask(replace(PRICE, live=arguments.live), SAMSUNG, dict)
            except KISError as error:
                failures[f"{type(error).__name__}: {error.message}"] += 1
                continue
            took = time.monotonic() - before
            if not answers[number]:
                firsts.append(time.monotonic() - started)
            answers[number] += 1
            # What the client itself took: neither waiting for a permit nor for the answer.
            overheads.append(took - waited.seconds)
            if arguments.pause:
                time.sleep(max(0.0, arguments.pause - took))
            if number == 0 and answers[0] % 100 == 0:
                memory.append(resident())

    say("ready")
    sys.stdin.readline()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(arguments.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    result = {
        "answers": answers,
        "first": min(firsts, default=None),
        "failures": dict(failures),
        "overheads": overheads,
        "memory": memory,
        "tokens": client.tally.tokens.total(),
    }
    say(json.dumps(result))


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

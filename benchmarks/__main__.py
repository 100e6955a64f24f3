"""`python -m benchmarks`: measures all parts in one run, prints the table, keeps it in a folder."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    big_lake,
    evening,
    fetching,
    growth,
    peers,
    publishing,
    reading,
    starting,
    streaming,
)
from benchmarks.measure import Line, keep, machine, table


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--stocks", type=int, default=2_500)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--minute-days", type=int, default=20)
    parser.add_argument("--files", type=int, default=5_000, help="of the lake that is published")
    parser.add_argument("--peer-stocks", type=int, default=100, help="that each client asks for")
    parser.add_argument("--seconds", type=float, default=12, help="of processes on one key")
    parser.add_argument("--evening-stocks", type=int, default=500)
    parser.add_argument("--growth-stocks", type=int, default=300, help="to begin with")
    parser.add_argument("--starts", type=int, default=5, help="of each command")
    parser.add_argument("--trades-a-second", type=float, default=5_000)
    parser.add_argument("--stream-seconds", type=float, default=60)
    parser.add_argument("--url", help="a KIS-shaped server instead of the simulator")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--parts", help="some of them, such as reading,growth; all unless given")
    given = parser.parse_args()
    about, lines = machine(), list[Line]()
    if about["is quiet"] == "False":
        print("this machine is busy: these timings are upper bounds", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        parts = _parts(given, Path(name))
        wanted = given.parts.split(",") if given.parts else list(parts)
        if unknown := set(wanted) - parts.keys():
            parser.error(
                f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}"
            )
        for part in wanted:
            began = time.monotonic()
            try:
                lines += parts[part]()
            except Exception as error:  # the other parts are worth having
                traceback.print_exc()
                lines.append(Line(part, "all of it", None, beside=f"failed: {error!r}"))
            print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    about["size"] = (
        f"{given.stocks:,} stocks, {given.years} years, {given.minute_days} days of minutes"
    )
    keep(lines, about, given.out)
    print(table(lines, about))


def _parts(given: argparse.Namespace, scratch: Path) -> dict[str, Callable[[], list[Line]]]:
    """What is measured, each by its name; those that need a lake share the first one."""
    lake = scratch / "data" / "mock"

    def read() -> list[Line]:
        built = big_lake.build(lake, given.stocks, given.years, given.minute_days)
        return built.lines() + reading.read(lake, scratch)

    return {
        "reading": read,
        "publishing": lambda: publishing.publish(scratch / "files" / "mock", given.files),
        "growth": lambda: growth.grow(scratch / "growth", given.growth_stocks, 1, 2),
        "starting": lambda: starting.start(lake, given.starts),
        "fetching": lambda: fetching.fetch(scratch, given.stocks, given.url),
        "peers": lambda: peers.side_by_side(
            scratch / "peers", given.url, given.peer_stocks, given.seconds
        ),
        "streaming": lambda: streaming.stream(
            scratch / "streaming", given.trades_a_second, given.stream_seconds
        ),
        "evening": lambda: evening.evening(scratch / "evening", given.evening_stocks),
    }


if __name__ == "__main__":
    main()

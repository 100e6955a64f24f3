"""`python -m benchmarks`: measures all parts in one run, prints the table, keeps it in a folder."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import big_lake, fetching, reading, starting
from benchmarks.measure import Line, keep, machine, table


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--stocks", type=int, default=2_500)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--minute-days", type=int, default=20)
    parser.add_argument("--url", help="a KIS-shaped server instead of the simulator")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--parts", default="reading,starting,fetching")
    given = parser.parse_args()
    about, lines = machine(), list[Line]()
    if about["is quiet"] == "False":
        print("this machine is busy: these timings are upper bounds", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        lake = scratch / "data" / "mock"
        if "reading" in given.parts:
            lines += big_lake.build(lake, given.stocks, given.years, given.minute_days)
            lines += reading.read(lake, scratch)
        if "starting" in given.parts:
            lines += starting.start(lake)
        if "fetching" in given.parts:
            lines += fetching.fetch(scratch, min(given.stocks, 2_500), given.url)
    about["size"] = (
        f"{given.stocks:,} stocks, {given.years} years, {given.minute_days} days of minutes"
    )
    keep(lines, about, given.out)
    print(table(lines, about))


if __name__ == "__main__":
    main()

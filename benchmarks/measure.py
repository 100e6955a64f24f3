"""One measured line, how it is taken, and the table that a run prints."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

QUIET = 0.7
"""Load of the machine, by its last minute, above which timings are not to be trusted."""


@dataclass(frozen=True)
class Line:
    """What was measured: a median in a unit, and the floor or the peer it stands beside.

    Where nothing could be measured `value` is None, and `beside` says why.
    """

    group: str
    name: str
    value: float | None
    unit: str = "ms"
    aim: float | None = None
    """No more than this, or no less where more is better; None: there is none."""
    beside: str = ""
    """What else is known of it, in words."""
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    """The same done by something else, in the same unit."""

    @property
    def verdict(self) -> str:
        """Whether the aim is met; empty where there is none."""
        if self.aim is None or self.value is None:
            return ""
        more_is_better = self.unit in ("rows/s", "% of the rate")
        return (
            "met"
            if (self.value >= self.aim if more_is_better else self.value <= self.aim)
            else "missed"
        )

    @property
    def measured(self) -> str:
        """The value with its unit, or that there is none."""
        return "none" if self.value is None else f"{self.value:,.4g} {self.unit}"

    @property
    def said(self) -> str:
        """What stands beside it, each with its ratio, and what else is known."""
        ratios = [
            f"{name} {other:,.4g} (×{self.value / other:,.3g})"
            for name, other in self.others.items()
            if self.value is not None and other
        ]
        return "; ".join(filter(None, (", ".join(ratios), self.beside)))


def median(work: Callable[[], object], times: int = 5) -> float:
    """Milliseconds that some work takes, the median of several; the first one does not count."""
    work()
    taken: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def alone(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """What work gives in a process of its own, whose memory nothing else has filled."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given, **named).result()


def peak() -> float:
    """The most memory that this process has had, in MB."""
    if sys.platform == "linux":
        # getrusage also counts what the process had that started this one.
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def share(requests: float, seconds: float, rate: float) -> float:
    """Which share of the allowed rate so many requests were, in percent.

    The first second of a window may hold a second's requests at once.
    """
    return 100 * requests / ((seconds + 1) * rate)


def machine() -> dict[str, str]:
    """On what and when it was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": date.today().isoformat(),  # noqa: DTZ011  a day for people
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}",
        "python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "is quiet": str(os.getloadavg()[0] < QUIET),
    }


def table(lines: list[Line], about: dict[str, str]) -> str:
    """The lines as a page of Markdown."""
    rows = [
        "| what | measured | aim | | beside (× is the measured by it) |",
        "| --- | --- | --- | --- | --- |",
    ]
    group = ""
    for line in lines:
        if line.group != group:
            group = line.group
            rows.append(f"| **{group}** | | | | |")
        aim = "" if line.aim is None else f"{line.aim:,g}"
        cells = (line.name, line.measured, aim, line.verdict, line.said)
        rows.append(f"| {' | '.join(cells)} |")
    said = "; ".join(f"{name}: {value}" for name, value in about.items())
    return f"{said}\n\n" + "\n".join(rows) + "\n"


def keep(lines: list[Line], about: dict[str, str], folder: Path) -> None:
    """Write the table and the lines as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(table(lines, about), encoding="utf-8")
    found = {"about": about, "lines": [asdict(line) | {"verdict": line.verdict} for line in lines]}
    (folder / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")

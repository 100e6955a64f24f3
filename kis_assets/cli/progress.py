"""The progress bar of `run`: one line per table, with progress and remaining time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from kis_assets.execution.runner import Outcome
    from kis_assets.settings import Settings

_SETTLED = 10.0
"""Seconds after which the rate that KIS grants is known well enough to report it."""


def columns() -> list[Any]:
    """The columns of a bar; they fit 80 characters."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return [
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=18),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Cached stocks arrive at once, so the speed is that of the last minute only.
        TimeRemainingColumn(),
    ]


class Bar:
    """One line per table. The bar of a failed or interrupted table stays where it stopped."""

    def __init__(self, console: Any, settings: Settings, tables: Sequence[str], day: date) -> None:
        from rich.progress import Progress

        self._progress = Progress(*columns(), console=console, speed_estimate_period=60)
        self._settings, self._day = settings, day
        self._left = list(tables)
        self._task: Any = None
        self._name = ""
        self._done = 0
        self._began: float | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def console(self) -> Any:
        """The console that prints above the bar."""
        return self._progress.console

    def start(self, table: str, partition: str) -> None:
        """Begin the bar of the next table."""
        self._left = self._left[self._left.index(table) + 1 :]
        self._name, self._done = table, 0
        self._task = self._progress.add_task(f"{table} {partition}", total=None)

    def advance(self, completed: int, total: int, _: str) -> None:
        """Show how many stocks of the table are done; a count that restarts is of the checks."""
        if completed < self._done:
            self._end()
            self._task = self._progress.add_task(f"{self._name} checks", total=total)
        self._done = completed
        self._progress.update(self._task, completed=completed, total=total)
        self._print_rate(completed, total)

    def ended(self, outcome: Outcome) -> None:
        """Finish the bar of a table."""
        if outcome.error:
            self._progress.update(self._task, total=self._progress.tasks[-1].total or 1)
            self._progress.stop_task(self._task)
        else:
            self._end()

    def _end(self) -> None:
        total = self._progress.tasks[-1].total or 1
        self._progress.update(self._task, completed=total, total=total)

    def _print_rate(self, completed: int, total: int) -> None:
        """Print the remaining time once if KIS grants a lower rate than the setting."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if self._settings.source_type != "kis" or now - self._began < _SETTLED:
            return
        from kis_assets.monitoring.costs import LONG, duration, requests_of
        from kis_assets.monitoring.status import NEARLY, granted

        self._began = float("inf")
        rate = granted(self._settings)
        if rate > NEARLY * self._settings.rate_limit * len(self._settings.credentials):
            return
        requests = sum(requests_of(name, total, self._day, self._settings) for name in self._left)
        requests += (
            requests_of(self._name, total, self._day, self._settings)
            * (total - completed)
            // max(1, total)
        )
        if requests / rate >= LONG:
            self.console.print(
                f"KIS grants {rate:.3g} requests per second: about {duration(requests / rate)} "
                "left",
                highlight=False,
            )

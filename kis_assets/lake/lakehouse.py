"""A lake brought over to its Delta tables, one table after another; see `delta.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kis_assets.lake.delta import Published
from kis_assets.lake.delta_table import PublishError
from kis_assets.lake.lake import Lake
from kis_assets.tables import Table


@dataclass
class Outcome:
    """What came of bringing a table over."""

    name: str
    """The source and the table."""
    were_behind: list[str]
    """The storage units that had to be brought; all of them, where the storage does not answer."""
    brought: list[str] = field(default_factory=list[str])
    rows: int = 0
    bytes: int = 0
    deleted: int = 0
    failure: str = ""
    """Why not all were brought, in a sentence; empty where they were."""

    @property
    def behind(self) -> list[str]:
        """The units that are behind still."""
        return [unit for unit in self.were_behind if unit not in self.brought]


def bring_over(
    lake: Lake, table: Table, url: str, say: Callable[[str], object] | None = None
) -> Outcome:
    """Publish what changed of a table, and delete what gave way long ago.

    Args:
        lake: the lake with its rows.
        table: the table.
        url: what `KIS_LAKE_URL` says.
        say: told each unit and its address, once it is there.

    Returns:
        What was done; a failure is in it, so that other tables go on.
    """
    outcome = Outcome(f"{lake.source} {table.name}", lake.units(table))
    try:
        there = Published(lake, table, url)
        outcome.were_behind = there.behind()
        for unit in outcome.were_behind:
            if there.bring(unit) and say is not None:
                say(f"{table.name} {unit} -> {there.address}")
            outcome.brought.append(unit)
        outcome.deleted = there.vacuum()
        outcome.rows, outcome.bytes = there.size()
    except PublishError as error:
        outcome.failure = str(error)
    return outcome

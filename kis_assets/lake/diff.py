"""The changes of a write in stored rows. Frames in, frames out: no file is read or written here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from kis_assets.lake.scope import rows_by_day
from kis_assets.tables import Table

SAMPLE_ROWS = 20

# The time of fetching differs at every run and is no news about the market.
_NO_NEWS = ("fetched_at",)


@dataclass(frozen=True)
class Change:
    """The changes of a write within its scope. `fetched_at` is not compared.

    `rows` is how many rows the scope has now. `days` is how many rows each non-empty day of it has
    now, including other stocks. `samples` has at most 20 rows: `what` (added, removed or altered),
    the key columns, `column` (null unless altered), `old` and `new` as text. `path` is the new
    version; None if nothing changed and nothing was written.
    """

    table: str
    unit: str
    rows: int
    days: dict[date, int]
    added: int
    removed: int
    altered: int
    samples: pl.DataFrame
    path: Path | None


class ChangeCounter:
    """Collects the changes of a write that comes piece by piece."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows = self._added = self._removed = self._altered = 0
        self._days: dict[date, int] = {}
        self._samples = no_samples(table)

    def add(self, before: pl.DataFrame, after: pl.DataFrame) -> None:
        """Count the changes of one piece; both frames are in stored order."""
        added, removed, altered, samples = compare(self._table, before, after)
        self._rows += after.height
        self._added += added
        self._removed += removed
        self._altered += altered
        self._samples = pl.concat([self._samples, samples]).head(SAMPLE_ROWS)
        for day, count in rows_by_day(self._table, after.lazy()).items():
            self._days[day] = self._days.get(day, 0) + count

    def gone(self, rows: int) -> None:
        """Count removed rows that are in no piece."""
        self._removed += rows

    @property
    def anything(self) -> bool:
        """Whether anything changed."""
        return bool(self._added or self._removed or self._altered)

    def change(self, unit: str, path: Path | None) -> Change:
        """The changes of all pieces together."""
        counts = self._added, self._removed, self._altered
        return Change(self._table.name, unit, self._rows, self._days, *counts, self._samples, path)


def compare(
    table: Table, before: pl.DataFrame, after: pl.DataFrame, most: int = SAMPLE_ROWS
) -> tuple[int, int, int, pl.DataFrame]:
    """How many rows were added, removed and altered, and samples as in `Change.samples`.

    Returns at most `most` samples. Both frames must be in stored order, with unique keys.
    """
    if before.drop(_NO_NEWS, strict=False).equals(after.drop(_NO_NEWS, strict=False)):
        return 0, 0, 0, no_samples(table)
    added, removed = after.clear(), before.clear()
    if before.is_empty():
        added, after = after, added
    elif not before.select(table.key).equals(after.select(table.key)):
        added, removed = _only_in(table, after, before), _only_in(table, before, after)
        before, after = _also_in(table, before, after), _also_in(table, after, before)
    # Both have the same keys in the same order now, so cells can be compared without a join.
    altered = pl.repeat(value=False, n=before.height, dtype=pl.Boolean, eager=True)
    samples = [no_samples(table)]
    for name in table.schema:
        if name in table.key or name in _NO_NEWS:
            continue
        differs = before[name].ne_missing(after[name])
        if differs.any():
            altered |= differs
            rows = differs.arg_true().head(most)
            samples.append(_sample(table, "altered", before[rows], name, after[rows]))
    samples.append(_sample(table, "removed", removed.head(most)))
    samples.append(_sample(table, "added", added.head(most)))
    return added.height, removed.height, int(altered.sum()), pl.concat(samples).head(most)


def no_samples(table: Table) -> pl.DataFrame:
    """The empty samples of a write that changed nothing."""
    keys = {name: table.column(name).dtype for name in table.key}
    text = pl.String()
    return pl.DataFrame(schema={"what": text, **keys, "column": text, "old": text, "new": text})


def _only_in(table: Table, here: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    return here.join(there, on=table.key, how="anti", nulls_equal=True, maintain_order="left")


def _also_in(table: Table, here: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    return here.join(there, on=table.key, how="semi", nulls_equal=True).sort(table.key)


def _sample(
    table: Table,
    kind: str,
    rows: pl.DataFrame,
    column: str | None = None,
    after: pl.DataFrame | None = None,
) -> pl.DataFrame:
    old = new = pl.lit(None)
    if column is not None and after is not None:
        old, new = pl.col(column), pl.lit(after[column])
    return rows.select(
        pl.lit(kind).alias("what"),
        *table.key,
        pl.lit(column, dtype=pl.String).alias("column"),
        old.cast(pl.String).alias("old"),
        new.cast(pl.String).alias("new"),
    )

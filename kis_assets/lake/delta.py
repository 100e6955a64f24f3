"""Copies of the lake as Delta tables, in object storage or another folder (`KIS_LAKE_URL`).

`<url>/<source>/<table>` has the table's columns and `unit`, the storage unit as text (`2026`,
`2026-03` or `2026-03-17`), by which it is partitioned. A unit is published as a whole and takes the
place of what it was. The Delta log keeps which version of the unit that was (as an application
transaction), so a unit that did not change is not written again unless the table got a column. The
lake stays where it is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import polars as pl

from kis_assets.lake import delta_table, row_files
from kis_assets.lake.delta_table import (
    Logged,
    PublishError,
    arrow,
    failure,
    logged,
    make_table,
    open_table,
    refuse_other_folder,
    remember,
    storage_errors,
    transactions,
)
from kis_assets.lake.identity import identity
from kis_assets.lake.lake import Lake
from kis_assets.lake.notes import digest
from kis_assets.lake.scope import LakeError
from kis_assets.tables import Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

ATTEMPTS = 10
"""How often a commit is tried that another publisher got before."""
FRESH, TURNS = 36 * 3600.0, 30
"""What is read back in a check each day: units published within so many seconds, and one in so many
of the others, so that all of them are in a month."""


class Published:
    """The Delta table of one table of a lake.

    Args:
        lake: the lake with the rows.
        table: their table.
        url: what `KIS_LAKE_URL` says; credentials come from the environment, as AWS_... and so on.

    Raises:
        PublishError: `deltalake` is not installed.
    """

    def __init__(
        self, lake: Lake, table: Table, url: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        try:
            import_module("deltalake")
        except ModuleNotFoundError:
            raise PublishError(
                "KIS_LAKE_URL needs the package deltalake: pip install 'deltalake>=1.6'"
            ) from None
        root = url.rstrip("/") if urlsplit(url).scheme else str(Path(url).absolute())
        self.address = f"{root}/{lake.source}/{table.name}"
        self._lake, self._table, self._sleep = lake, table, sleep

    def behind(self) -> list[str]:
        """The storage units whose newest version is not published, oldest first.

        Raises:
            PublishError: the storage fails.
        """
        there, units = open_table(self.address), self._lake.units(self._table)
        known = None if there is None else transactions(there, self.address)
        return [unit for unit in units if not self._has(there, unit, known)]

    def beyond(self) -> list[str]:
        """The storage units, such as `2026-03`, that are published and are not in the lake.

        Raises:
            PublishError: the storage fails.
        """
        there = open_table(self.address)
        if there is None:
            return []
        here = {unit.partition("=")[2] for unit in self._lake.units(self._table)}
        with storage_errors(self.address):
            return sorted(part["unit"] for part in there.partitions() if part["unit"] not in here)

    def bring(self, unit: str, *, again: bool = False) -> bool:
        """Publish the current rows of a unit, in place of those published before.

        Args:
            unit: the storage unit, such as `month=2026-03`.
            again: also if the log says that they are published.

        Returns:
            False if they are published already.

        Raises:
            PublishError: the table has the rows of another data folder or program, a column has
                another type there, the rows that arrived are not as many, or the storage fails.
        """
        folder = self._folder()
        for attempt in range(ATTEMPTS):
            there = open_table(self.address)
            if not again and self._has(there, unit):
                return False
            version, rows = self._rows(unit)
            if there is None:
                empty = self._table.empty()
                there = make_table(self.address, empty, self._lake.keep_days, folder)
            refuse_other_folder(there, folder)
            self._refuse_other_types(there)
            remember(there, self._lake.keep_days)
            if self._commit(there, unit, version, rows, last=attempt == ATTEMPTS - 1):
                return True
            # Another publisher was faster; two that wait equally long would meet again.
            self._sleep(random.uniform(0.1, 0.3) * (attempt + 1))
        raise AssertionError("the last attempt commits or raises")

    def size(self) -> tuple[int, int]:
        """How many rows are published, in how many bytes, as the log has it.

        Raises:
            PublishError: the storage fails.
        """
        units = logged(open_table(self.address)).values()
        return sum(it.rows for it in units), sum(it.bytes for it in units)

    def differing(self, turn: int | None = None) -> list[str]:
        """The units whose published rows are not those of the lake.

        Args:
            turn: None reads all units back and compares them row by row. A number, such as that of
                the day, counts the rows of all and reads back `FRESH` ones and those whose turn it
                is.

        Raises:
            PublishError: a column has another type there, the storage fails, or a file is missing
                there.
        """
        if there := open_table(self.address):
            self._refuse_other_types(there)
        known_there, found = logged(there), list[str]()
        for number, unit in enumerate(self._lake.units(self._table)):
            known = known_there.get(unit.partition("=")[2], Logged(0, 0, 0.0))
            is_read = turn is None or number % TURNS == turn % TURNS
            is_read = is_read or time.time() - known.at < FRESH
            _, count = self._rows(unit, pl.len())
            if count.item() != known.rows or (is_read and not self._is_equal(there, unit)):
                found.append(unit)
        return found

    def vacuum(self) -> int:
        """Delete what gave way longer ago than the lake keeps versions, and what a crash left.

        A reader that began with an older version of the table has that long to finish, and another
        publisher to commit what it has written.

        Returns:
            How many files of rows were deleted.

        Raises:
            PublishError: the storage fails.
        """
        there = open_table(self.address)
        if there is None:
            return 0
        return delta_table.vacuum(there, self._lake.keep_days)

    def _folder(self) -> str:
        """The name of the data folder; empty if it has none and cannot be given one."""
        with suppress(OSError):
            return identity(self._lake.folder.parent, make=True)
        return ""

    def _has(
        self, there: DeltaTable | None, unit: str, known: dict[str, int] | None = None
    ) -> bool:
        version = self._lake.version(self._table, unit)
        if there is None or version is None:
            return False
        if known is not None:
            return known.get(unit) == self._number(version)
        with storage_errors(self.address):
            return there.transaction_version(unit) == self._number(version)

    def _number(self, version: str) -> int:
        """A version of a unit under today's columns, as the number that a transaction takes."""
        return int(digest([version, row_files.tag(self._table)])[:15], 16)

    def _rows(self, unit: str, what: pl.Expr | None = None) -> tuple[str, pl.DataFrame]:
        """The newest version of a unit and its rows, which no writer may change in between."""
        wanted = pl.all() if what is None else what
        first, last = self._table.span(unit.partition("=")[2])
        while True:
            version = self._lake.version(self._table, unit)
            try:
                found = self._lake.scan(self._table, first=first, last=last)
                rows = found.select(wanted).collect()
            except LakeError as error:
                raise PublishError(str(error)) from None
            if version is None:
                raise PublishError(f"{self._table.name} {unit}: no version of it can be read")
            if version == self._lake.version(self._table, unit):
                return version, rows

    def _commit(
        self, there: DeltaTable, unit: str, version: str, rows: pl.DataFrame, *, last: bool
    ) -> bool:
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError

        key = unit.partition("=")[2]
        with storage_errors(self.address):
            try:
                # Onto the table as it was read, so that rows of another publisher that came since
                # are a conflict and are not overwritten by older ones.
                write_deltalake(
                    there,
                    arrow(rows, key),
                    mode="overwrite",
                    predicate=f"unit = '{key}'",
                    schema_mode="merge",
                    commit_properties=CommitProperties(
                        app_transactions=[Transaction(unit, self._number(version))]
                    ),
                )
            except CommitFailedError as error:
                if last:
                    raise failure(self.address, error) from None
                return False
        arrived = logged(there).get(key, Logged(0, 0, 0.0)).rows
        if arrived != rows.height and self._has(there, unit):
            raise PublishError(f"{self.address}: {arrived:,} rows of {unit}, not {rows.height:,}")
        return True

    def _is_equal(self, there: DeltaTable | None, unit: str) -> bool:
        _, rows = self._rows(unit)
        if there is None:
            return rows.is_empty()
        with storage_errors(self.address):
            found = there.to_pyarrow_table(filters=[("unit", "=", unit.partition("=")[2])])
        if not self._table.schema.keys() <= set(found.column_names):
            return False
        columns = [pl.col(name).cast(dtype) for name, dtype in self._table.schema.items()]
        published = pl.DataFrame(found).select(columns)
        key = list(self._table.key)
        return published.sort(key).equals(rows.select(columns).sort(key))

    def _refuse_other_types(self, there: DeltaTable) -> None:
        import pyarrow as pa

        found = pl.DataFrame(pa.schema(there.schema().to_arrow()).empty_table()).schema
        for name, dtype in self._table.schema.items():
            if name in found and found[name] != dtype:
                raise PublishError(
                    f"{self.address}: {name} is {found[name]} there and {dtype} here. Move that "
                    "folder away, then `kis-assets publish` makes it anew"
                )

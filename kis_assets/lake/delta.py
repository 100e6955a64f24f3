"""Copies of the lake as Delta tables, in object storage or another folder (`KIS_LAKE_URL`).

`<url>/<source>/<table>` has the table's columns and `unit`, the storage unit as text (`2026`,
`2026-03` or `2026-03-17`), by which it is partitioned. A unit is published as a whole and takes the
place of what it was. The Delta log keeps which version of the unit that was (as an application
transaction), so a unit that did not change is not written again unless the table got a column. The
lake stays where it is.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import polars as pl

from kis_assets.lake import row_files
from kis_assets.lake.lake import Lake
from kis_assets.lake.notes import digest
from kis_assets.lake.scope import LakeError
from kis_assets.tables import Table

if TYPE_CHECKING:
    from deltalake import DeltaTable

ATTEMPTS = 10
"""How often a commit is tried that another publisher got before."""


class PublishError(Exception):
    """A unit could not be published; what was published before is unchanged."""


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
        there = self._open()
        return [unit for unit in self._lake.units(self._table) if not self._has(there, unit)]

    def beyond(self) -> list[str]:
        """The storage units, such as `2026-03`, that are published and are not in the lake.

        Raises:
            PublishError: the storage fails.
        """
        there = self._open()
        if there is None:
            return []
        here = {unit.partition("=")[2] for unit in self._lake.units(self._table)}
        return sorted(part["unit"] for part in there.partitions() if part["unit"] not in here)

    def bring(self, unit: str) -> bool:
        """Publish the current rows of a unit, in place of those published before.

        Args:
            unit: the storage unit, such as `month=2026-03`.

        Returns:
            False if they are published already.

        Raises:
            PublishError: a column has another type there, the rows that arrived are not as many,
                or the storage fails.
        """
        for attempt in range(ATTEMPTS):
            there = self._open()
            if self._has(there, unit):
                return False
            version, rows = self._rows(unit)
            if there is None:
                there = self._make()
            self._refuse_other_types(there)
            if self._commit(there, unit, version, rows, last=attempt == ATTEMPTS - 1):
                return True
            # Another publisher was faster; two that wait equally long would meet again.
            self._sleep(random.uniform(0.1, 0.3) * (attempt + 1))
        raise AssertionError("the last attempt commits or raises")

    def differing(self) -> list[str]:
        """The units whose published rows are not those of the lake, read back and compared.

        Raises:
            PublishError: the storage fails.
        """
        there = self._open()
        return [unit for unit in self._lake.units(self._table) if not self._is_equal(there, unit)]

    def vacuum(self) -> int:
        """Delete what gave way longer ago than the lake keeps its own versions.

        A reader that began with an older version of the table has that long to finish.

        Returns:
            How many files of rows were deleted.

        Raises:
            PublishError: the storage fails.
        """
        there = self._open()
        if there is None:
            return 0
        try:
            deleted = there.vacuum(
                self._lake.keep_days * 24, dry_run=False, enforce_retention_duration=False
            )
            there.create_checkpoint()
            there.cleanup_metadata()
        except Exception as error:  # the library raises exceptions of many trees
            raise self._failure(error) from None
        return len(deleted)

    def _open(self) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.address)
        except TableNotFoundError:
            return None
        except Exception as error:
            raise self._failure(error) from None

    def _has(self, there: DeltaTable | None, unit: str) -> bool:
        version = self._lake.version(self._table, unit)
        if there is None or version is None:
            return False
        return there.transaction_version(unit) == self._number(version)

    def _number(self, version: str) -> int:
        """A version of a unit under today's columns, as the number that a transaction takes."""
        return int(digest([version, row_files.tag(self._table)])[:15], 16)

    def _rows(self, unit: str) -> tuple[str, pl.DataFrame]:
        """The newest version of a unit and its rows, which no writer may change in between."""
        first, last = self._table.span(unit.partition("=")[2])
        while True:
            version = self._lake.version(self._table, unit)
            try:
                rows = self._lake.scan(self._table, first=first, last=last).collect()
            except LakeError as error:
                raise PublishError(str(error)) from None
            if version is None:
                raise PublishError(f"{self._table.name} {unit}: no version of it can be read")
            if version == self._lake.version(self._table, unit):
                return version, rows

    def _make(self) -> DeltaTable:
        # Made empty: a table that is not there has no partition to take the place of.
        from deltalake import DeltaTable, write_deltalake
        from deltalake.exceptions import CommitFailedError

        data = _arrow(self._table.empty(), "")
        try:
            # Where the commit fails, another publisher has just made it.
            with suppress(CommitFailedError):
                write_deltalake(self.address, data, mode="ignore", partition_by=["unit"])
            return DeltaTable(self.address)
        except Exception as error:
            raise self._failure(error) from None

    def _commit(
        self, there: DeltaTable, unit: str, version: str, rows: pl.DataFrame, *, last: bool
    ) -> bool:
        from deltalake import CommitProperties, Transaction, write_deltalake
        from deltalake.exceptions import CommitFailedError

        key = unit.partition("=")[2]
        try:
            # Onto the table as it was read, so that rows of another publisher that came since are
            # a conflict and are not overwritten by older ones.
            write_deltalake(
                there,
                _arrow(rows, key),
                mode="overwrite",
                predicate=f"unit = '{key}'",
                schema_mode="merge",
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(unit, self._number(version))]
                ),
            )
        except CommitFailedError as error:
            if last:
                raise self._failure(error) from None
            return False
        except Exception as error:
            raise self._failure(error) from None
        arrived = self._count(key)
        if arrived != rows.height and self._has(self._open(), unit):
            raise PublishError(f"{self.address}: {arrived:,} rows of {unit}, not {rows.height:,}")
        return True

    def _count(self, key: str) -> int:
        there = self._open()
        if there is None:
            return 0
        files = pl.DataFrame(there.get_add_actions(flatten=True))
        return int(files.filter(pl.col("partition.unit") == key)["num_records"].sum())

    def _is_equal(self, there: DeltaTable | None, unit: str) -> bool:
        _, rows = self._rows(unit)
        if there is None:
            return rows.is_empty()
        try:
            found = there.to_pyarrow_table(filters=[("unit", "=", unit.partition("=")[2])])
        except Exception as error:
            raise self._failure(error) from None
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

    def _failure(self, error: Exception) -> PublishError:
        # Without the query of an address: a signed one has its secret there.
        plain = re.sub(r"\?\S+", "?...", " ".join(str(error).split()))[:300]
        return PublishError(f"{self.address}: {type(error).__name__}: {plain}")


def _arrow(rows: pl.DataFrame, key: str) -> Any:
    # Engines that do not know the newer Arrow types of Polars read the older ones.
    return rows.with_columns(unit=pl.lit(key)).to_arrow(compat_level=pl.CompatLevel.oldest())

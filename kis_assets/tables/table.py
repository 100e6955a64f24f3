"""What a table is, and every fact there can be of one. No reading, no writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from kis_assets.tables.columns import Column

Unit = Literal["day", "month", "year"]


@dataclass(frozen=True)
class Table:
    """A table: its columns, its key, and the unit that one file of the lake holds.

    `clock` is the column whose day decides the storage unit a row belongs to; `partition` is the
    span one run of the asset covers.
    """

    name: str
    description: str
    clock: str
    key: tuple[str, ...]
    partition: Unit
    unit: Unit
    columns: tuple[Column, ...] = field(repr=False)

    @property
    def schema(self) -> pl.Schema:
        """Column names and Polars types, in the order in which they are stored."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}")

    def empty(self) -> pl.DataFrame:
        """No rows, right types."""
        return pl.DataFrame(schema=self.schema)

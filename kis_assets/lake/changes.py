"""What a write to the lake covers, whether its rows may enter, and what they change.

Frames in, frames out: no file is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from kis_assets.tables import Table

STOCK = "stock_code"
CAPTURE = "captured_at"
SAMPLES = 20

# The moment a row was fetched differs at every run; it is no news about the market.
_NO_NEWS = ("fetched_at",)

# A column, true where a row is wrong in it, and in words what such a row is.
_Claim = tuple[str, pl.Expr, str]


class LakeError(ValueError):
    """The lake cannot do what was asked; what is stored is as it was, unless the text says so."""


class Refused(LakeError):
    """The rows can never be right, so none of them was written."""


@dataclass(frozen=True)
class Scope:
    """The rows one write replaces: a span of days, maybe one capture, maybe some stocks of it.

    Rows outside it are neither required nor touched. A span must lie within one storage unit of
    the table it is used with.
    """

    first: date
    last: date
    captured_at: datetime | None = None
    among: tuple[tuple[str, frozenset[str]], ...] = ()
    """Columns of text, each with the values that rows of this scope may have in it."""

    @classmethod
    def year(cls, year: date | int) -> Scope:
        """All rows of a year, given as a number or as any day in it."""
        number = year if isinstance(year, int) else year.year
        return cls(date(number, 1, 1), date(number, 12, 31))

    @classmethod
    def month(cls, day: date) -> Scope:
        """All rows of the month in which `day` lies."""
        first = day.replace(day=1)
        return cls(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))

    @classmethod
    def day(cls, day: date) -> Scope:
        """All rows of one day, whatever their capture."""
        return cls(day, day)

    @classmethod
    def capture(cls, day: date, captured_at: datetime) -> Scope:
        """The rows of one capture of a day; other captures of that day stay.

        Raises:
            LakeError: `captured_at` has no time zone.
        """
        if captured_at.tzinfo is None:
            raise LakeError(f"captured_at {captured_at} has no time zone; give an aware datetime")
        return cls(day, day, captured_at.astimezone(UTC))

    def of(self, values: Iterable[str], column: str = STOCK) -> Scope:
        """This scope, narrowed to these stocks, or values of another column; others stay."""
        if isinstance(values, str):
            raise LakeError(f"stock codes are wanted, not the single text {values!r}")
        return replace(self, among=(*self.among, (column, frozenset(values))))

    def unit(self, table: Table) -> str:
        """The storage unit of `table` this scope lies in, e.g. `month=2026-03`.

        Raises:
            LakeError: it spans two units, or names captures or stocks that the table has none of.
        """
        name = unit_of(table, self.first)
        if self.last < self.first or unit_of(table, self.last) != name:
            raise LakeError(
                f"{table.name}: {self} is not within one {table.unit}; replace each on its own"
            )
        if self.captured_at is not None and CAPTURE not in table.schema:
            raise LakeError(f"{table.name} has no captures; replace a {table.unit} instead")
        for column, _ in self.among:
            if column not in table.schema:
                raise LakeError(f"{table.name} has no {column}; replace the scope for all of them")
        return name

    def is_whole_unit(self, table: Table) -> bool:
        """True when every row of the storage unit belongs to this scope."""
        before, after = self.first - timedelta(days=1), self.last + timedelta(days=1)
        return (
            self.captured_at is None
            and not self.among
            and unit_of(table, before) != self.unit(table) != unit_of(table, after)
        )

    def covers(self, table: Table) -> pl.Expr:
        """True for the rows of `table` that belong to this scope; never null."""
        inside = day_of(table).is_between(self.first, self.last)
        if self.captured_at is not None:
            inside &= pl.col(CAPTURE) == self.captured_at
        for column, values in self.among:
            inside &= pl.col(column).is_in(sorted(values))
        return inside.fill_null(value=False)

    def __str__(self) -> str:
        days = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        capture = f", capture {self.captured_at.isoformat()}" if self.captured_at else ""
        narrowed = "".join(f", {len(values)} of {column}" for column, values in self.among)
        return f"{days}{capture}{narrowed}"


@dataclass(frozen=True)
class Change:
    """What a write changed within its scope. `fetched_at` is not compared.

    `rows` is how many rows the scope has now. `samples` has at most 20 rows: `what` (added,
    removed or altered), the key columns, `column` (null unless altered), `old` and `new` as text.
    `path` is the new version, None when nothing changed and nothing was written.
    """

    table: str
    unit: str
    rows: int
    added: int
    removed: int
    altered: int
    samples: pl.DataFrame
    path: Path | None


def day_of(table: Table) -> pl.Expr:
    """The day, in Seoul, that decides which storage unit a row of `table` belongs to."""
    clock = pl.col(table.clock)
    if table.column(table.clock).dtype == pl.Date():
        return clock
    return clock.dt.convert_time_zone("Asia/Seoul").dt.date()


def unit_of(table: Table, day: date) -> str:
    """The storage unit that holds a day, hive-styled: `trading_day=2026-03-17`, `month=2026-03`."""
    if table.unit == "year":
        return f"year={day.year:04d}"
    if table.unit == "month":
        return f"month={day.year:04d}-{day.month:02d}"
    return f"{table.clock}={day.isoformat()}"


def order_of(table: Table) -> list[str]:
    """The columns by which rows are stored: a stock's rows together, in time order.

    One stock is read far more often than one instant, and the files are a third smaller this way.
    """
    wanted = [STOCK] if STOCK in table.schema else []
    return list(dict.fromkeys([*wanted, table.clock, *table.key]))


def admit(table: Table, scope: Scope, source: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of `frame` in stored column and row order, when every one of them can be right.

    Raises:
        Refused: naming the table, the column, how many rows are wrong and the first of them.
    """
    _check_columns(table, frame)
    _check(table, frame, _claims(table, scope, source))
    rows = frame.select(table.schema.names())
    # Half a million minutes that come in order need no second copy of themselves.
    if not _is_sorted(rows, order_of(table)):
        rows = rows.sort(order_of(table))
    check_keys(table, rows)
    return rows


def _is_sorted(rows: pl.DataFrame, order: list[str]) -> bool:
    falls = pl.lit(value=False)
    for name in reversed(order):
        before = pl.col(name).shift(1)
        falls = (pl.col(name) < before) | ((pl.col(name) == before) & falls)
    return not rows.select(falls.any()).item()


def check_keys(table: Table, rows: pl.DataFrame) -> None:
    """Refuse rows that share a key. They must be sorted in stored order."""
    # Sorted rows with one key stand side by side only when the clock is part of the key; that is
    # twenty times faster than looking at all pairs.
    if table.clock in table.key or table.unit == "day":
        twice = pl.all_horizontal(
            [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in table.key]
        ) & (pl.int_range(pl.len()) > 0)
    else:
        twice = pl.struct(table.key).is_duplicated()
    _check(table, rows, [(", ".join(table.key), twice, "a key that another row has")])


def compare(
    table: Table, before: pl.DataFrame, after: pl.DataFrame, most: int = SAMPLES
) -> tuple[int, int, int, pl.DataFrame]:
    """How many rows were added, removed and altered, and samples as `Change.samples` has them.

    At most `most` samples are given. Both frames must be in stored order, with no key twice.
    """
    if before.drop(_NO_NEWS, strict=False).equals(after.drop(_NO_NEWS, strict=False)):
        return 0, 0, 0, no_samples(table)
    added, removed = after.clear(), before.clear()
    if before.is_empty():
        added, after = after, added
    elif not before.select(table.key).equals(after.select(table.key)):
        added, removed = _only_in(table, after, before), _only_in(table, before, after)
        before, after = _also_in(table, before, after), _also_in(table, after, before)
    # The two have the same keys in the same order now: cells can be compared without a join.
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
    """The samples of a write that changed nothing."""
    keys = {name: table.column(name).dtype for name in table.key}
    text = pl.String()
    return pl.DataFrame(schema={"what": text, **keys, "column": text, "old": text, "new": text})


def _check_columns(table: Table, frame: pl.DataFrame) -> None:
    wanted, given = table.schema, frame.schema
    if missing := [name for name in wanted if name not in given]:
        raise Refused(f"{table.name}: missing columns: {', '.join(missing)}; nothing was written")
    if extra := [name for name in given if name not in wanted]:
        raise Refused(f"{table.name}: unknown columns: {', '.join(extra)}; nothing was written")
    if wrong := [name for name in wanted if given[name] != wanted[name]]:
        types = ", ".join(f"{name} is {given[name]} and must be {wanted[name]}" for name in wrong)
        raise Refused(f"{table.name}: {types}; nothing is cast here and nothing was written")


def _claims(table: Table, scope: Scope, source: str) -> Iterator[_Claim]:
    """What no row may be."""
    for column in table.columns:
        name, values = column.name, pl.col(column.name)
        if not column.nullable:
            yield name, values.is_null(), "null and must not be"
        if column.least is not None:
            yield name, values < column.least, f"below {column.least}"
        if column.dtype.is_float():
            yield name, ~values.is_finite(), "not a finite number"
    if STOCK in table.schema:
        yield STOCK, pl.col(STOCK).str.strip_chars() == "", "empty"
    yield "source", pl.col("source") != source, f"not of source {source}"
    outside = ~day_of(table).is_between(scope.first, scope.last)
    yield table.clock, outside, f"outside the scope {scope}"
    if scope.captured_at is not None:
        other = pl.col(CAPTURE) != scope.captured_at
        yield CAPTURE, other, f"of another capture than {scope}"
    for column, values in scope.among:
        other = ~pl.col(column).is_in(sorted(values))
        yield column, other, f"of a {column} that the scope {scope} does not name"


def _check(table: Table, rows: pl.DataFrame, claims: Iterable[_Claim]) -> None:
    claims = list(claims)
    # All are counted in one go; a row is looked for only when there is one.
    counts = rows.select(
        wrong.fill_null(value=False).sum().alias(str(number))
        for number, (_, wrong, _) in enumerate(claims)
    ).row(0)
    for count, (column, wrong, what) in zip(counts, claims, strict=True):
        if count:
            # Over the whole frame: an expression may compare a row with its neighbour.
            marked = rows.with_columns(wrong.fill_null(value=False).alias("wrong:"))
            first = marked.row(marked["wrong:"].arg_max() or 0, named=True)
            shown = dict.fromkeys([*table.key, *column.split(", ")])
            named = ", ".join(f"{name} {first[name]}" for name in shown)
            are = "row is" if count == 1 else "rows are"
            raise Refused(
                f"{table.name}: {column}: {count} {are} {what}; the first: {named}; "
                "nothing was written"
            )


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

"""Whether rows may enter the lake. Frames in, frames out: no file is read or written here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from kis_assets.lake.scope import CAPTURE, STOCK, LakeError, Scope, day_of, order_of
from kis_assets.tables import Table

# A column, an expression that is true if a row breaks the rule, and a description of such a row.
_Rule = tuple[str, pl.Expr, str]


class Refused(LakeError):
    """Some rows are impossible, so none was written."""


def accept(table: Table, scope: Scope, source: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of `frame` in stored column and row order, if all of them are possible.

    Raises:
        Refused: it names the table, the column, the number of wrong rows and the first one.
    """
    _refuse_other_columns(table, frame)
    _apply(table, frame, _rules(table, scope, source))
    rows = frame.select(table.schema.names())
    # Half a million sorted minutes need no second copy.
    if not _is_sorted(rows, order_of(table)):
        rows = rows.sort(order_of(table))
    refuse_shared_keys(table, rows)
    return rows


def _is_sorted(rows: pl.DataFrame, order: list[str]) -> bool:
    falls = pl.lit(value=False)
    for name in reversed(order):
        before = pl.col(name).shift(1)
        falls = (pl.col(name) < before) | ((pl.col(name) == before) & falls)
    return not rows.select(falls.any()).item()


def refuse_shared_keys(table: Table, rows: pl.DataFrame) -> None:
    """Refuse rows that share a key. They must be sorted in stored order."""
    # Sorted rows with equal keys are neighbours only if the clock is part of the key; comparing
    # neighbours is twenty times faster than searching all rows.
    if table.clock in table.key or table.unit == "day":
        twice = pl.all_horizontal(
            [pl.col(name).eq_missing(pl.col(name).shift(1)) for name in table.key]
        ) & (pl.int_range(pl.len()) > 0)
    else:
        twice = pl.struct(table.key).is_duplicated()
    _apply(table, rows, [(", ".join(table.key), twice, "a key that another row has")])


def _refuse_other_columns(table: Table, frame: pl.DataFrame) -> None:
    wanted, given = table.schema, frame.schema
    if missing := [name for name in wanted if name not in given]:
        raise Refused(f"{table.name}: missing columns: {', '.join(missing)}; nothing was written")
    if extra := [name for name in given if name not in wanted]:
        raise Refused(f"{table.name}: unknown columns: {', '.join(extra)}; nothing was written")
    if wrong := [name for name in wanted if given[name] != wanted[name]]:
        types = ", ".join(f"{name} is {given[name]} and must be {wanted[name]}" for name in wrong)
        raise Refused(f"{table.name}: {types}; nothing is cast here and nothing was written")


def _rules(table: Table, scope: Scope, source: str) -> Iterator[_Rule]:
    """The rules that no row may break: those of each column, then those of the scope."""
    for column in table.columns:
        name, values = column.name, pl.col(column.name)
        if not column.nullable:
            yield name, values.is_null(), "null and must not be"
        if column.minimum is not None:
            yield name, values < column.minimum, f"below {column.minimum}"
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


def _apply(table: Table, rows: pl.DataFrame, rules: Iterable[_Rule]) -> None:
    rules = list(rules)
    # All rules are counted in one pass; a wrong row is searched only if there is one.
    counts = rows.select(
        wrong.fill_null(value=False).sum().alias(str(number))
        for number, (_, wrong, _) in enumerate(rules)
    ).row(0)
    for count, (column, wrong, what) in zip(counts, rules, strict=True):
        if count:
            # Evaluated over the whole frame: a rule may compare a row with its neighbour.
            marked = rows.with_columns(wrong.fill_null(value=False).alias("wrong:"))
            first = marked.row(marked["wrong:"].arg_max() or 0, named=True)
            shown = dict.fromkeys([*table.key, *column.split(", ")])
            named = ", ".join(f"{name} {first[name]}" for name in shown)
            are = "row is" if count == 1 else "rows are"
            raise Refused(
                f"{table.name}: {column}: {count} {are} {what}; the first: {named}; "
                "nothing was written"
            )

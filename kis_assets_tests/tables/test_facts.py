"""A table knows itself: what differs from table to table stands in `tables` and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import kis_assets
from kis_assets import tables
from kis_assets.charts import of_tables
from kis_assets.defs.jobs import JOBS
from kis_assets.tables import (
    DAILY_CANDLES,
    MARKET_DAYS,
    MINUTE_CANDLES,
    PRICE_SNAPSHOTS,
    STOCK_INFO,
    TABLES,
    Table,
    usual,
)

ROOT = Path(kis_assets.__file__).parent
CONSTANTS = {name: it.name for name, it in vars(tables).items() if isinstance(it, Table)}

LADDERS: dict[str, str] = {}
"""Where the product still asks which table it has before it, and why it must."""


def product() -> Iterator[tuple[str, ast.Module]]:
    """The modules above `tables`, but for the simulator: it is KIS and knows no table of ours."""
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT)
        if name.parts[0] not in ("tables", "simulator"):
            yield name.as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def named(node: ast.expr) -> str:
    """The table that an expression stands for: DAILY_CANDLES, DAILY_CANDLES.name or its text."""
    match node:
        case ast.Attribute(value=value, attr="name"):
            return named(value)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return CONSTANTS.get(name, "")
        case ast.Constant(value=str(name)) if name in TABLES:
            return name
    return ""


def ladders(module: ast.Module) -> Iterator[int]:
    """The lines that ask which table it is: by comparing, or with a list of tables to look it up.

    A list of tables' rows, made to read several, asks nothing.
    """
    for node in ast.walk(module):
        compared: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        elif isinstance(node, ast.Dict):
            keys = [key for key in node.keys if key is not None]
            compared = keys if len({*map(named, keys)} - {""}) > 1 else []
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            listed = [it for it in node.elts if not isinstance(it, ast.Name)]
            compared = listed if len({*map(named, listed)} - {""}) > 1 else []
        if any(map(named, compared)):
            yield compared[0].lineno


def test_nobody_asks_which_table_it_is() -> None:
    found = {f"{name}:{line}" for name, module in product() for line in ladders(module)}
    assert found == set(LADDERS)


@pytest.mark.parametrize(
    "asked",
    [
        "if table is DAILY_CANDLES: ...",
        "if table.name == DAILY_CANDLES.name: ...",
        "if name in ('daily_candles', 'minute_candles'): ...",
        "if name != 'daily_candles': ...",
        "WHICH = {tables.DAILY_CANDLES.name: 1, tables.ORDER_BOOKS.name: 2}",
        "LIVE = ('stock_master', 'order_books')",
        "match name:\n    case 'daily_candles': ...",
    ],
)
def test_a_ladder_is_seen_however_it_is_written(asked: str) -> None:
    assert [*ladders(ast.parse(asked))]


def test_how_long_minutes_are_kept_stands_once() -> None:
    assert MINUTE_CANDLES.sessions_kept == 246
    numbers = [
        path.name
        for path in ROOT.rglob("*.py")
        if "simulator" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and re.search(r"\b246\b", str(node.value))
    ]
    assert numbers == ["candles.py"]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_a_table_names_is_there(table: Table) -> None:
    assert not table.catch_up or table.catch_up in {job.name for job in JOBS}
    assert not table.chart or table.chart in {**of_tables.OF_ROWS, **of_tables.OF_STORED}
    if table.preview is not None:
        shown = [*table.preview.columns.split(), table.preview.largest or table.key[0]]
        assert set(shown) <= set(table.schema)


def test_a_run_makes_of_a_source_what_that_source_has() -> None:
    of_kis = ["market_days", "stock_master", "price_snapshots", "daily_candles"]
    assert usual("kis") == usual("mock") == of_kis
    assert usual("krx") == ["market_days", "stock_master", "krx_daily", "daily_candles"]


@pytest.mark.parametrize(
    ("table", "key", "first", "last"),
    [
        (MARKET_DAYS, "2026", date(2026, 1, 1), date(2026, 12, 31)),
        (STOCK_INFO, "2026-02-01", date(2026, 2, 1), date(2026, 2, 28)),
        (DAILY_CANDLES, "2026-12", date(2026, 12, 1), date(2026, 12, 31)),
        (DAILY_CANDLES, "2026-12-17", date(2026, 12, 17), date(2026, 12, 17)),
        (PRICE_SNAPSHOTS, "2026-12-01", date(2026, 12, 1), date(2026, 12, 1)),
    ],
)
def test_the_key_of_a_partition_or_of_a_stored_unit_tells_its_days(
    table: Table, key: str, first: date, last: date
) -> None:
    assert table.span(key) == (first, last)


@pytest.mark.parametrize("key", ["", "26", "2026-13", "2026-02-30", "today"])
def test_a_key_of_no_days_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        DAILY_CANDLES.span(key)


def test_a_day_lies_in_one_partition() -> None:
    day = date(2026, 3, 17)
    keys = [it.partition_key(day) for it in (MARKET_DAYS, DAILY_CANDLES, PRICE_SNAPSHOTS)]
    assert keys == ["2026", "2026-03-01", "2026-03-17"]

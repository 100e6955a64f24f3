"""A table knows itself: what differs from table to table stands in `tables` and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
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
    default_tables,
)

ROOT = Path(kis_assets.__file__).parent
CONSTANTS = {name: it.name for name, it in vars(tables).items() if isinstance(it, Table)}

LADDERS = {"defs/checks/registry.py": "the page that lists the checks of every table"}
"""The modules that still tell one table from another, and why they must."""


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
    """The lines that ask which table it is: a comparison, or a list of names to look it up in.

    What is read together, what an asset depends on and what a job makes is no such list.
    """
    for node in ast.walk(module):
        asked: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            asked = [it for side in (node.left, *node.comparators) for it in elements(side)]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Dict):
            asked = several(node.keys)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            asked = several([it for it in elements(node.value) if not isinstance(it, ast.Name)])
        if any(it is not None and named(it) for it in asked):
            yield node.lineno if isinstance(node, ast.expr | ast.stmt) else node.value.lineno


def elements(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]


def several(nodes: Sequence[ast.expr | None]) -> list[ast.expr | None]:
    """These expressions where they name more than one table, else none."""
    return [*nodes] if len({named(it) for it in nodes if it is not None} - {""}) > 1 else []


def test_nobody_asks_which_table_it_is() -> None:
    found = {name: [*ladders(module)] for name, module in product()}
    assert {name for name, lines in found.items() if lines} == set(LADDERS), found


@pytest.mark.parametrize(
    "asked",
    [
        "if table is DAILY_CANDLES: ...",
        "if table.name == DAILY_CANDLES.name: ...",
        "if name in ('daily_candles', 'minute_candles'): ...",
        "if name != 'daily_candles': ...",
        "WHICH = {tables.DAILY_CANDLES.name: 1, tables.ORDER_BOOKS.name: 2}",
        "LIVE = ('stock_master', 'order_books')",
        "LIVE: tuple[str, ...] = ('stock_master', 'order_books')",
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
    of_stocks = ["market_days", "stock_master", "price_snapshots", "daily_candles"]
    of_figures = ["index_candles", "market_flows", "investor_flows"]
    adjusted = "adjustment_factors"
    assert default_tables("kis") == default_tables("mock") == [*of_stocks, adjusted, *of_figures]
    # It lacks most figures, and takes one request a second.
    assert default_tables("kis", is_virtual=True) == [*of_stocks, adjusted]
    krx = ["market_days", "stock_master", "krx_daily", "daily_candles", adjusted]
    assert default_tables("krx") == krx


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

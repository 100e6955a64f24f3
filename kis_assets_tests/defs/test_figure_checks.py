"""The checks of figures a day: right rows pass all of them, and each sees what it is for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.checks.check import NotComparable, Window
from kis_assets.defs.checks.registry import LISTED
from kis_assets.errors import NotSupported
from kis_assets.exchange import calendar
from kis_assets.kis.investor_flows import CLASSES
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.scope import rows_by_day
from kis_assets.settings import Settings
from kis_assets.sources.tables import TableSource
from kis_assets.tables import (
    CREDIT_BALANCES,
    DAILY_CANDLES,
    ETF_NAVS,
    FINANCIAL_STATEMENTS,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    MARKET_DAYS,
    MARKET_FLOWS,
    PROGRAM_TRADES,
    SHORT_SALES,
    STOCK_LOANS,
    STOCK_MASTER,
    VALUATIONS,
    Table,
)
from kis_assets_tests.support.small_rows import candle, frame

DAYS = (date(2026, 3, 16), date(2026, 3, 17))
CODES = ("000660", "005930")
LATER = datetime(2026, 3, 24, 9, 0, tzinfo=calendar.SEOUL)
MILLION = 1_000_000

Spoil = Callable[[pl.DataFrame], pl.DataFrame]
Row = dict[str, Any]


def by_day(*columns: Row) -> list[Row]:
    """These columns for each stock and day."""
    return [
        {"stock_code": code, "trading_day": day} | row
        for code in CODES
        for day in DAYS
        for row in columns
    ]


def classes(**columns: int) -> list[Row]:
    """What individuals buy and foreigners sell; nobody else trades."""
    nothing = dict.fromkeys(columns, 0)
    sold = {name.replace("buy", "sell"): value for name, value in columns.items() if "buy" in name}
    sold |= {name: -value for name, value in columns.items() if "net" in name}
    traded = {"individual": columns, "foreign_registered": nothing | sold}
    blank = nothing | dict.fromkeys((n.replace("buy", "sell") for n in columns if "buy" in n), 0)
    return [{"investor": name} | blank | traded.get(name, {}) for name in CLASSES]


def lent(day: date, **more: Any) -> Row:
    """A balance of a stock: 1,000 newly lent a day and 400 given back."""
    first = day == DAYS[0]
    return {"loan_balance": 100_000 + (0 if first else 600), "new": 1_000, "repaid": 400} | more


INDICES = {"0001": (2_600.0, 10.0), "1001": (800.0, -4.0)}
ROWS: dict[Table, list[Row]] = {
    DAILY_CANDLES: [
        candle(day, 70_000, 71_000, 69_000, 70_500, volume=200_000, stock_code=code)
        for code in CODES
        for day in DAYS
    ],
    STOCK_MASTER: by_day({"stock_name": "가온", "market": "KOSPI", "listed_shares": 5_000_000}),
    INDEX_CANDLES: [
        {"trading_day": day, "index_code": code, "index_name": code, "open": close - 1,
         "high": close + 2, "low": close - 3, "close": close, "volume": 1, "trading_value": 1,
         "change": change}
        for day in DAYS
        for code, (close, change) in INDICES.items()
    ],
    MARKET_FLOWS: [
        {"trading_day": day, "market": market} | row
        for day in DAYS
        for market in ("KOSPI", "KOSDAQ")
        for row in classes(net_volume=3_000, net_value=5 * MILLION)
    ],
    INVESTOR_FLOWS: by_day(
        *classes(buy_volume=200_000, net_volume=200_000,
                 buy_value=14_000 * MILLION, net_value=14_000 * MILLION)
    ),
    PROGRAM_TRADES: by_day(
        {"buy_volume": 50_000, "sell_volume": 20_000, "net_volume": 30_000,
         "buy_value": 3_500 * MILLION, "sell_value": 1_400 * MILLION, "net_value": 2_100 * MILLION}
    ),
    SHORT_SALES: by_day({"short_volume": 1_000, "short_value": 70_000_000, "short_ratio": 0.5}),
    STOCK_LOANS: [
        {"stock_code": code, "trading_day": day} | lent(day, loan_amount=7_000 * MILLION)
        for code in CODES
        for day in DAYS
    ],
    CREDIT_BALANCES: [
        {"stock_code": code, "trading_day": day, "settled_on": DAYS[1]}
        | lent(day, loan_amount=5_000 * MILLION)
        for code in CODES
        for day in DAYS
    ],
    ETF_NAVS: [
        {"trading_day": day, "stock_code": "069500", "close": 35_000, "nav": 35_010.0,
         "premium_rate": -0.03}
        for day in DAYS
    ],
    VALUATIONS: [
        {"captured_at": datetime(*day.timetuple()[:3], 6, 50, tzinfo=UTC), "stock_code": code,
         "trading_day": day, "price": 70_000, "per": 14.0, "eps": 5_000.0, "pbr": 1.4,
         "bps": 50_000.0, "week52_high": 80_000, "week52_low": 50_000}
        for day in DAYS
        for code in CODES
    ],
    FINANCIAL_STATEMENTS: [
        {"asked_month": date(2026, 3, 1), "stock_code": "005930", "fiscal_month": month,
         "period": period, "revenue": revenue, "total_assets": 900 * 10**8,
         "total_liabilities": 300 * 10**8, "total_equity": 600 * 10**8}
        for month, period, revenue in (
            (date(2025, 3, 1), "quarter", 100 * 10**8), (date(2025, 6, 1), "quarter", 110 * 10**8),
            (date(2025, 9, 1), "quarter", 120 * 10**8), (date(2025, 12, 1), "quarter", 130 * 10**8),
            (date(2025, 12, 1), "annual", 460 * 10**8),
        )
    ],
}  # fmt: skip
CHECKED = [table for table in ROWS if table not in (DAILY_CANDLES, STOCK_MASTER)]


BLANK: dict[type[pl.DataType], Any] = {
    pl.String: "",
    pl.Boolean: False,
    pl.Date: DAYS[0],
    pl.Int64: 0,
    pl.Float64: 0.0,
}


def filled(table: Table) -> pl.DataFrame:
    """Its rows, with a blank for what must not be null and is not said."""
    blank = {
        column.name: BLANK.get(column.dtype.base_type())
        for column in table.columns
        if not column.nullable and column.name not in ("source", "fetched_at")
    }
    return frame(table, *(blank | row for row in ROWS[table]))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a lake with two stocks on two days, in all tables."""
    made = Lake(tmp_path_factory.mktemp("written") / "lake", source="mock")
    for table in ROWS:
        held = filled(table)
        if table is VALUATIONS:
            for at in held["captured_at"].unique():
                scope = Scope.capture(at.astimezone(calendar.SEOUL).date(), at)
                made.replace(table, scope, held.filter(captured_at=at), publish=False)
        elif table is STOCK_MASTER:
            for day in DAYS:
                scope = Scope.day(day)
                made.replace(table, scope, held.filter(trading_day=day), publish=False)
        else:
            made.replace(table, Scope.month(DAYS[0]), held, publish=False)
    made.publish()
    return made.folder


@pytest.fixture
def lake(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of its own for each test, because some spoil it."""
    monkeypatch.setenv("KIS_STOCK_CODES", ",".join(CODES))
    return Lake(shutil.copytree(written, tmp_path / "lake"), source="mock")


def spoil(lake: Lake, table: Table, change: Spoil) -> None:
    """Change the stored file itself: the lake's door would refuse some of it."""
    paths = sorted((lake.folder / "versions" / table.name).rglob("*.parquet"))
    rows = pl.read_parquet(paths[-1])
    paths[-1].unlink()
    change(rows).write_parquet(paths[-1])


def broken(
    lake: Lake,
    table: Table,
    first: date = date(2026, 3, 1),
    last: date = DAYS[1],
    now: datetime = LATER,
) -> set[str]:
    """The checks of a table that fail; those that compare with nothing are named as such."""

    def none() -> TableSource:
        raise NotSupported("there is no second source")

    window = Window(lake, table, first, last, now, none, settings=Settings.load())
    rows = rows_by_day(table, window.rows())
    found: set[str] = set()
    for check in LISTED[table]:
        try:
            finding, _ = check.find(window, rows)
        except NotComparable:
            found.add(f"{check.name}: nothing to compare")
        else:
            if not finding.holds:
                found.add(check.name)
    return found


def at(row: int = 0, **changes: Any) -> Spoil:
    """Change columns of one row, by expressions or values."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        chosen = pl.int_range(pl.len()) == row
        return rows.with_columns(
            pl.when(chosen)
            .then(new if isinstance(new, pl.Expr) else pl.lit(new))
            .otherwise(pl.col(name))
            .cast(rows.schema[name])
            .alias(name)
            for name, new in changes.items()
        )

    return change


def everywhere(**changes: Any) -> Spoil:
    return lambda rows: rows.with_columns(
        pl.lit(new).cast(rows.schema[name]).alias(name)
        if not isinstance(new, pl.Expr)
        else new.cast(rows.schema[name]).alias(name)
        for name, new in changes.items()
    )


def doubled(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows, rows[:1]])


def without_a_day(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("trading_day") != DAYS[1])


def without_a_stock(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("stock_code") != CODES[1])


def c(name: str) -> pl.Expr:
    return pl.col(name)


FEW = "kospi_moves_with_its_stocks: nothing to compare"
"""Two stocks are no market."""

SPOILT: list[tuple[str, Table, Spoil]] = [
    ("index_bars_hold_together", INDEX_CANDLES, at(low=c("high"))),
    ("market_nets_are_zero", MARKET_FLOWS, at(net_value=c("net_value") + 100 * MILLION)),
    ("market_nets_are_zero", MARKET_FLOWS, lambda rows: rows[1:]),
    (
        "all_bought_is_all_sold",
        INVESTOR_FLOWS,
        at(buy_volume=c("buy_volume") + 7, net_volume=c("net_volume") + 7),
    ),
    ("net_is_bought_less_sold", INVESTOR_FLOWS, at(net_volume=c("net_volume") + 7)),
    ("net_is_bought_less_sold", INVESTOR_FLOWS, at(net_value=c("net_value") + 3 * MILLION)),
    (
        "traded_is_the_volume_of_the_day",
        INVESTOR_FLOWS,
        everywhere(
            buy_volume=c("buy_volume") // 2,
            sell_volume=c("sell_volume") // 2,
            net_volume=c("net_volume") // 2,
        ),
    ),
    ("every_candle_has_a_row", INVESTOR_FLOWS, without_a_stock),
    ("net_is_bought_less_sold", PROGRAM_TRADES, at(net_volume=c("net_volume") + 7)),
    (
        "programmes_are_within_the_volume",
        PROGRAM_TRADES,
        at(buy_volume=300_000, net_volume=280_000),
    ),
    ("every_candle_has_a_row", PROGRAM_TRADES, without_a_stock),
    ("short_sales_are_within_the_volume", SHORT_SALES, at(short_volume=200_001,
        short_value=200_001 * 70_000)),
    ("short_price_is_near_the_day", SHORT_SALES, at(short_value=7_000_000)),
    ("every_candle_has_a_row", SHORT_SALES, without_a_stock),
    ("balance_is_the_one_before_and_the_change", STOCK_LOANS, at(1, repaid=0)),
    ("balances_are_within_the_listed_shares", STOCK_LOANS,
        everywhere(loan_balance=c("loan_balance") * 100, new=c("new") * 100,
                   repaid=c("repaid") * 100)),
    ("balances_are_within_the_listed_shares", STOCK_LOANS,
        everywhere(loan_balance=c("loan_balance") - 200_000)),
    ("every_candle_has_a_row", STOCK_LOANS, without_a_stock),
    ("balance_is_the_one_before_and_the_change", CREDIT_BALANCES, at(1, new=0)),
    ("loan_is_a_part_of_the_price", CREDIT_BALANCES, at(loan_amount=c("loan_amount") // 100)),
    ("closes_are_near_their_nav", ETF_NAVS, at(premium_rate=20.0)),
    ("universe_is_covered", VALUATIONS, without_a_stock),
    (
        "captures_are_of_their_session",
        VALUATIONS,
        everywhere(captured_at=c("captured_at").dt.offset_by("14h")),
    ),
    ("ratios_are_price_over_figures", VALUATIONS, at(per=1.4)),
    ("ratios_are_price_over_figures", VALUATIONS, at(bps=500.0)),
    ("extremes_cover_the_price", VALUATIONS, at(week52_high=60_000)),
    ("balance_sheets_balance", FINANCIAL_STATEMENTS, at(total_equity=700 * 10**8)),
    ("quarters_add_up_to_their_year", FINANCIAL_STATEMENTS, at(revenue=10 * 10**8)),
    *(("key_is_unique", table, doubled) for table in CHECKED),
    *(
        ("every_published_session_is_present", table, without_a_day)
        for table in CHECKED
        if table.final == "published"
    ),
]  # fmt: skip


@pytest.mark.parametrize("table", CHECKED, ids=[table.name for table in CHECKED])
def test_right_rows_pass_every_check(lake: Lake, table: Table) -> None:
    assert broken(lake, table) - {FEW} == set()


@pytest.mark.parametrize(
    ("check", "table", "change"),
    SPOILT,
    ids=[f"{table.name}-{check}" for check, table, _ in SPOILT],
)
def test_a_check_sees_what_it_is_for(lake: Lake, check: str, table: Table, change: Spoil) -> None:
    spoil(lake, table, change)
    assert check in broken(lake, table)


@pytest.mark.parametrize(("share", "holds"), [(0.8, True), (0.4, False), (1.1, False)])
def test_flows_may_lack_the_after_market_since_there_is_one(
    lake: Lake, share: float, holds: bool
) -> None:
    days = (date(2026, 9, 14), date(2026, 9, 15))
    moved = pl.col("trading_day").replace_strict(DAYS, days, return_dtype=pl.Date)
    candles = filled(DAILY_CANDLES).with_columns(trading_day=moved)
    traded = [c(name) * share for name in ("buy_volume", "sell_volume", "net_volume")]
    flows = filled(INVESTOR_FLOWS).with_columns(moved.alias("trading_day"), *traded)
    for table, rows in ((DAILY_CANDLES, candles), (INVESTOR_FLOWS, flows)):
        lake.replace(table, Scope.month(days[0]), rows.cast(dict(table.schema)))
    found = broken(lake, INVESTOR_FLOWS, days[0], days[1], LATER.replace(month=9))
    assert ("traded_is_the_volume_of_the_day" not in found) is holds


@pytest.mark.parametrize("is_called_off", [True, False])
def test_a_session_that_was_called_off_makes_no_credit_due(lake: Lake, is_called_off: bool) -> None:
    """Three sessions after the 17th it is the 20th, or a session later."""
    day = {"day": date(2026, 3, 19), "is_open": not is_called_off, "known_from": "kis", "note": ""}
    lake.replace(MARKET_DAYS, Scope.year(2026), frame(MARKET_DAYS, day))
    spoil(lake, CREDIT_BALANCES, without_a_day)
    found = broken(lake, CREDIT_BALANCES, now=datetime(2026, 3, 20, 9, tzinfo=calendar.SEOUL))
    assert ("every_published_session_is_present" in found) is not is_called_off


def test_every_check_of_figures_is_tried() -> None:
    tried = {(table.name, check) for check, table, _ in SPOILT}
    listed = {(table.name, check.name) for table in CHECKED for check in LISTED[table]}
    assert listed - tried == {("index_candles", "kospi_moves_with_its_stocks")}


@pytest.mark.parametrize(("moved", "holds"), [(0.5, True), (4.0, False)])
def test_kospi_is_held_against_its_stocks(lake: Lake, moved: float, holds: bool) -> None:
    candles = [
        candle(DAYS[0], 10_000, 10_100, 9_900, 10_000, stock_code=f"{number:06}")
        for number in range(600)
    ]
    lake.replace(DAILY_CANDLES, Scope.month(DAYS[0]), frame(DAILY_CANDLES, *candles))
    spoil(lake, INDEX_CANDLES, everywhere(change=c("close") * moved / (100 + moved)))
    assert (broken(lake, INDEX_CANDLES) == set()) is holds

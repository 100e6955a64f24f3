"""A small mock lake, written once for all tests that only read it: five stocks, a few months.

It is made by the mock source itself, without Dagster. Three things are put in it on purpose: a
first version of March that was wrong in one price, a day that one stock lacks, and a stock that was
split in January.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.exchange import calendar
from kis_assets.kis import (
    credit_balances,
    index_candles,
    investor_flows,
    market_flows,
    program_trades,
    short_sales,
    stock_loans,
)
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.sources.mock import MockDataSource
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    CREDIT_BALANCES,
    DAILY_CANDLES,
    FINANCIAL_STATEMENTS,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    MARKET_DAYS,
    MARKET_FLOWS,
    MINUTE_CANDLES,
    ORDER_BOOK_TICKS,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    PROGRAM_TRADES,
    QUALITY,
    SHORT_SALES,
    STOCK_INFO,
    STOCK_LOANS,
    STOCK_MASTER,
    STREAM_GAPS,
    TRADES,
    VALUATIONS,
    Table,
)

SAMSUNG, SPLIT, GAPPY = "005930", "120540", "035420"
CODES = (SAMSUNG, "000660", GAPPY, "247540", SPLIT)
LISTED = (
    (SAMSUNG, "삼성전자", "KOSPI"),
    ("000660", "SK하이닉스", "KOSPI"),
    (GAPPY, "NAVER", "KOSPI"),
    ("247540", "에코프로비엠", "KOSDAQ"),
    (SPLIT, "나눔산업", "KOSPI"),
    ("009150", "삼성전기", "KOSPI"),
)
"""Codes, names and markets. The last one has nothing but its name."""
EVENING = datetime(2026, 3, 17, 20, 50, tzinfo=calendar.SEOUL)
NOON = EVENING.replace(hour=13, minute=0)
DAY = EVENING.date()
MONTHS = (date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1))
GAP = date(2026, 2, 10)
FIRST_VERSION = datetime(2026, 3, 17, 11, 0, tzinfo=UTC)
WRONG_CLOSE = 1


def build(data: Path) -> Path:
    """Make the lake in a data folder; gives the folder that holds `market.duckdb`."""
    settings = Settings.load(data_source_type="mock", kis_data_dir=data, kis_replay_at=EVENING)
    first, second = (
        Lake(settings.source_dir, source="mock", clock=lambda at=at: at)
        for at in (FIRST_VERSION, EVENING)
    )
    for lake in (first, second):
        # Published once, at the end: most of the time else.
        vars(lake)["publish"] = lambda **_: None
    second.replace(MARKET_DAYS, Scope.year(2026), _market_days())
    second.replace(STOCK_MASTER, Scope.day(DAY), listing())
    few = listing().filter(pl.col("stock_code").is_in(CODES))
    with MockDataSource(settings) as source:
        at = EVENING.astimezone(UTC)
        prices = source.tables.price_snapshots(few, DAY, at).rows
        second.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, at), prices)
        candles = source.tables.daily_candles(CODES, MONTHS[0], DAY).rows
        minutes = source.tables.minute_candles(CODES, DAY).rows
    second.replace(MINUTE_CANDLES, Scope.day(DAY), minutes)
    of_stock, on = pl.col("stock_code"), pl.col("trading_day")
    candles = candles.filter((of_stock != GAPPY) | (on != GAP))
    for month in MONTHS:
        scope = Scope.month(month)
        rows = candles.filter(on.is_between(scope.first, scope.last))
        if month == MONTHS[-1]:
            wrong = pl.when((of_stock == SAMSUNG) & (on == DAY)).then(WRONG_CLOSE)
            first.replace(DAILY_CANDLES, scope, rows.with_columns(close=wrong.otherwise("close")))
        second.replace(DAILY_CANDLES, scope, rows)
    marked = candles.filter((of_stock == SPLIT) & (pl.col("split_ratio") > 0)).row(0, named=True)
    split = {
        "effective_on": marked["trading_day"],
        "stock_code": SPLIT,
        "kind": "split",
        "origin": "rev-split",
        "sequence": 0,
        "effective_from": "listed_on",
        "ratio": round(1 / marked["split_ratio"], 6),
    }
    second.replace(
        CORPORATE_ACTIONS, Scope.month(split["effective_on"]), _rows(CORPORATE_ACTIONS, [split])
    )
    accounted = [
        {
            "trading_day": on_day,
            "table_name": "daily_candles",
            "check_name": "every_stock_is_accounted_for",
            "passed": on_day != GAP,
            "severity": "ERROR",
            "rows": rows,
            "failing_rows": len(CODES) - rows,
            "checked_at": EVENING.astimezone(UTC),
        }
        for on_day, rows in candles.group_by("trading_day").len().sort("trading_day").iter_rows()
        if on_day.month == GAP.month
    ]
    second.replace(QUALITY, Scope.month(GAP), _rows(QUALITY, accounted))
    _keep_figures(second, settings, few)
    # In the evening nobody quotes.
    with MockDataSource(settings.model_copy(update={"kis_replay_at": NOON})) as source:
        noon = NOON.astimezone(UTC)
        books = source.tables.order_books(few, DAY, noon).rows
        second.replace(ORDER_BOOKS, Scope.capture(DAY, noon), books)
    _keep_ticks(second, books)
    Lake(settings.source_dir, source="mock").publish()
    return settings.source_dir


def _keep_ticks(lake: Lake, books: pl.DataFrame) -> None:
    """A book and two trades of each stock, as a stream would have recorded them at noon."""
    ticks = books.with_columns(sequence=pl.int_range(1, pl.len() + 1))
    wanted = ORDER_BOOK_TICKS.schema.names()
    booked = ticks.with_columns(booked_at="captured_at").select(wanted)
    lake.replace(ORDER_BOOK_TICKS, Scope.day(DAY), booked.cast(dict(ORDER_BOOK_TICKS.schema)))
    rows = [
        {"trading_day": DAY, "stock_code": code, "sequence": number, "side": side, "quantity": 10,
         "traded_at": NOON.astimezone(UTC), "price": 1_000 * number, "volume": 10 * number,
         "trading_value": 10_000, "change": 0, "is_halted": False}
        for code in CODES for number, side in ((1, "buy"), (2, "sell"))
    ]  # fmt: skip
    lake.replace(TRADES, Scope.day(DAY), _rows(TRADES, rows))
    gap = {"trading_day": DAY, "stock_code": SAMSUNG, "sequence": 1, "reason": "disconnected",
           "since": NOON.astimezone(UTC), "until": EVENING.astimezone(UTC),
           "missing_volume": 100}  # fmt: skip
    lake.replace(STREAM_GAPS, Scope.day(DAY), _rows(STREAM_GAPS, [gap]))


def _keep_figures(lake: Lake, settings: Settings, stocks: pl.DataFrame) -> None:
    """What is published on the next morning, of March until the day before; and of this moment."""
    services = {
        INVESTOR_FLOWS: (investor_flows.SERVICE, CODES),
        PROGRAM_TRADES: (program_trades.SERVICE, CODES),
        SHORT_SALES: (short_sales.SERVICE, CODES),
        STOCK_LOANS: (stock_loans.SERVICE, CODES),
        CREDIT_BALANCES: (credit_balances.SERVICE, CODES),
        INDEX_CANDLES: (index_candles.SERVICE, ("0001", "1001", "2001")),
        MARKET_FLOWS: (market_flows.SERVICE, ("KOSPI", "KOSDAQ")),
    }
    before, at = calendar.previous_trading_day(DAY), EVENING.astimezone(UTC)
    with MockDataSource(settings) as source:
        for table, (service, codes) in services.items():
            found = source.tables.daily_figures(table, service, codes, MONTHS[-1], before)
            lake.replace(table, Scope.month(MONTHS[-1]), found.rows)
        valued = source.tables.valuations(stocks, DAY, at).rows
        lake.replace(VALUATIONS, Scope.capture(DAY, at), valued)
        told = source.tables.financial_statements(stocks, MONTHS[-1]).rows
        lake.replace(FINANCIAL_STATEMENTS, Scope.month(MONTHS[-1]), told)
        info = source.tables.stock_info(stocks, MONTHS[-1]).rows
        lake.replace(STOCK_INFO, Scope.month(MONTHS[-1]), info)


def listing() -> pl.DataFrame:
    """The rows of `stock_master` of the one day."""
    return _rows(STOCK_MASTER, [_listed(*stock) for stock in LISTED])


def _rows(table: Table, rows: list[dict[str, Any]]) -> pl.DataFrame:
    same = {"source": "mock", "fetched_at": EVENING.astimezone(UTC)}
    return pl.DataFrame([dict.fromkeys(table.schema) | same | row for row in rows], table.schema)


def _listed(code: str, name: str, market: str) -> dict[str, Any]:
    return {
        "trading_day": DAY,
        "stock_code": code,
        "isin": f"KR7{code}003",
        "stock_name": name,
        "market": market,
        "security_type": "common",
        "security_group": "ST",
        "listed_shares": 1_000_000_000,
        "is_halted": False,
    }


def _market_days() -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(days=number)
        session = calendar.session(day)
        rows.append(
            {
                "day": day,
                "is_open": session is not None,
                "opens_at": session and session.opens_at.astimezone(UTC),
                "closes_at": session and session.closes_at.astimezone(UTC),
                "known_from": "computed",
            }
        )
    return _rows(MARKET_DAYS, rows)

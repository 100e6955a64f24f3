"""A small mock lake, written once for all tests that only read it: five stocks, a few months.

It is made by the mock source itself, without Dagster. Three things are put in it on purpose: a
first version of March that was wrong in one price, a day that one stock lacks, and a stock that was
split in January.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from kis_assets import krx
from kis_assets.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.sources.mock import MockDataSource
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    MARKET_DAYS,
    MINUTE_CANDLES,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_MASTER,
)

SAMSUNG, SPLIT, GAPPY = "005930", "120540", "035420"
CODES = (SAMSUNG, "000660", GAPPY, "247540", SPLIT)
EVENING = datetime(2026, 3, 17, 20, 50, tzinfo=krx.SEOUL)
NOON = EVENING.replace(hour=13, minute=0)
DAY = EVENING.date()
MONTHS = (date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1))
GAP = date(2026, 2, 10)
FIRST_VERSION = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
WRONG_CLOSE = 1


def build(data: Path) -> Path:
    """Make the lake in a data folder; gives the folder that holds `market.duckdb`."""
    settings = Settings.load(data_source_type="mock", kis_data_dir=data, kis_replay_at=EVENING)
    lake = Lake(settings.source_dir, source="mock", clock=lambda: EVENING)
    before = Lake(settings.source_dir, source="mock", clock=lambda: FIRST_VERSION)
    lake.replace(MARKET_DAYS, Scope.year(2026), _market_days())
    with MockDataSource(settings) as source:
        master = source.stock_master(DAY)
        lake.replace(STOCK_MASTER, Scope.day(DAY), master)
        few = master.filter(pl.col("stock_code").is_in(CODES))
        at = EVENING.astimezone(UTC)
        prices = source.price_snapshots(few, DAY, at).rows
        lake.replace(PRICE_SNAPSHOTS, Scope.capture(DAY, at), prices)
        for month in MONTHS:
            scope = Scope.month(month)
            rows = source.daily_candles(CODES, scope.first, min(scope.last, DAY)).rows
            of_stock = pl.col("stock_code")
            rows = rows.filter((of_stock != GAPPY) | (pl.col("trading_day") != GAP))
            if month == MONTHS[-1]:
                is_wrong = (of_stock == SAMSUNG) & (pl.col("trading_day") == DAY)
                wrong = pl.when(is_wrong).then(WRONG_CLOSE).otherwise("close")
                before.replace(DAILY_CANDLES, scope, rows.with_columns(close=wrong))
            lake.replace(DAILY_CANDLES, scope, rows)
        minutes = source.minute_candles(CODES, DAY).rows
        lake.replace(MINUTE_CANDLES, Scope.day(DAY), minutes)
        announced = source.corporate_actions(MONTHS[0])
        lake.replace(CORPORATE_ACTIONS, Scope.month(MONTHS[0]), announced)
    # In the evening nobody quotes.
    with MockDataSource(settings.model_copy(update={"kis_replay_at": NOON})) as source:
        noon = NOON.astimezone(UTC)
        books = source.order_books(few, DAY, noon).rows
        lake.replace(ORDER_BOOKS, Scope.capture(DAY, noon), books)
    return settings.source_dir


def _market_days() -> pl.DataFrame:
    rows = []
    for number in range(365):
        day = date(2026, 1, 1) + timedelta(days=number)
        session = krx.session(day)
        rows.append(
            {
                "day": day,
                "is_open": session is not None,
                "opens_at": session and session.opens_at.astimezone(UTC),
                "closes_at": session and session.closes_at.astimezone(UTC),
                "known_from": "computed",
                "note": None,
                "asked_at": None,
                "source": "mock",
                "fetched_at": EVENING.astimezone(UTC),
            }
        )
    return pl.DataFrame(rows, schema=MARKET_DAYS.schema)

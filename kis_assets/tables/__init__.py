"""Every table once: columns, types, units, key, storage unit. No reading, no writing.

The Dagster column schema, the data dictionary, the DuckDB comments and the checks at the lake's
door are all made from what stands here.
"""

from __future__ import annotations

from kis_assets.tables.candles import DAILY_CANDLES, KRX_DAILY, MINUTE_CANDLES
from kis_assets.tables.columns import INSTANT, KRW, PERCENT, SHARES, Column
from kis_assets.tables.corporate_actions import CORPORATE_ACTIONS
from kis_assets.tables.operations import QUALITY, REQUESTS
from kis_assets.tables.quotes import LEVELS, ORDER_BOOKS, PRICE_SNAPSHOTS
from kis_assets.tables.reference import MARKET_DAYS, STOCK_INFO, STOCK_MASTER
from kis_assets.tables.table import Cost, Preview, Table, Unit, partition_key

__all__ = [
    "CORPORATE_ACTIONS",
    "DAILY_CANDLES",
    "INSTANT",
    "KRW",
    "KRX_DAILY",
    "LEVELS",
    "MARKET_DAYS",
    "MINUTE_CANDLES",
    "ORDER_BOOKS",
    "PERCENT",
    "PRICE_SNAPSHOTS",
    "QUALITY",
    "REQUESTS",
    "SHARES",
    "STOCK_INFO",
    "STOCK_MASTER",
    "TABLES",
    "Column",
    "Cost",
    "Preview",
    "Table",
    "Unit",
    "partition_key",
    "usual",
]

TABLES = {
    table.name: table
    for table in (
        MARKET_DAYS,
        STOCK_MASTER,
        PRICE_SNAPSHOTS,
        ORDER_BOOKS,
        KRX_DAILY,
        DAILY_CANDLES,
        MINUTE_CANDLES,
        STOCK_INFO,
        CORPORATE_ACTIONS,
        QUALITY,
        REQUESTS,
    )
}


def usual(source: str) -> list[str]:
    """The tables that `kis-assets run` makes of a source unless told otherwise, in that order."""
    return [it.name for it in TABLES.values() if it.is_usual and source in it.sources]

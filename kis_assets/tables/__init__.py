"""All tables: columns, types, units, keys, partitions. This package reads and writes nothing.

Dagster's column schemas, docs/tables.md, the comments in DuckDB and the lake's validation of rows
are made from these definitions.
"""

from __future__ import annotations

from kis_assets.tables.candles import DAILY_CANDLES, KRX_DAILY, MINUTE_CANDLES
from kis_assets.tables.columns import INSTANT, KRW, PERCENT, SHARES, Column
from kis_assets.tables.corporate_actions import ADJUSTMENT_FACTORS, CORPORATE_ACTIONS
from kis_assets.tables.flows import INVESTOR_FLOWS, MARKET_FLOWS, PROGRAM_TRADES
from kis_assets.tables.fundamentals import FINANCIAL_STATEMENTS, VALUATIONS
from kis_assets.tables.indices import ETF_NAVS, INDEX_CANDLES
from kis_assets.tables.lending import CREDIT_BALANCES, SHORT_SALES, STOCK_LOANS
from kis_assets.tables.operations import QUALITY, REQUESTS
from kis_assets.tables.quotes import LEVELS, ORDER_BOOKS, PRICE_SNAPSHOTS
from kis_assets.tables.reference import MARKET_DAYS, STOCK_INFO, STOCK_MASTER
from kis_assets.tables.table import Cost, Preview, Table, Unit, partition_key
from kis_assets.tables.ticks import ORDER_BOOK_TICKS, STREAM_GAPS, TRADES

__all__ = [
    "ADJUSTMENT_FACTORS",
    "CORPORATE_ACTIONS",
    "CREDIT_BALANCES",
    "DAILY_CANDLES",
    "ETF_NAVS",
    "FINANCIAL_STATEMENTS",
    "INDEX_CANDLES",
    "INSTANT",
    "INVESTOR_FLOWS",
    "KRW",
    "KRX_DAILY",
    "LEVELS",
    "MARKET_DAYS",
    "MARKET_FLOWS",
    "MINUTE_CANDLES",
    "ORDER_BOOKS",
    "ORDER_BOOK_TICKS",
    "PERCENT",
    "PRICE_SNAPSHOTS",
    "PROGRAM_TRADES",
    "QUALITY",
    "REQUESTS",
    "SHARES",
    "SHORT_SALES",
    "STOCK_INFO",
    "STOCK_LOANS",
    "STOCK_MASTER",
    "STREAM_GAPS",
    "TABLES",
    "TRADES",
    "VALUATIONS",
    "Column",
    "Cost",
    "Preview",
    "Table",
    "Unit",
    "default_tables",
    "partition_key",
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
        ADJUSTMENT_FACTORS,
        INDEX_CANDLES,
        MARKET_FLOWS,
        INVESTOR_FLOWS,
        PROGRAM_TRADES,
        SHORT_SALES,
        STOCK_LOANS,
        CREDIT_BALANCES,
        VALUATIONS,
        FINANCIAL_STATEMENTS,
        ETF_NAVS,
        TRADES,
        ORDER_BOOK_TICKS,
        STREAM_GAPS,
        QUALITY,
        REQUESTS,
    )
}


def default_tables(source: str, *, is_virtual: bool = False) -> list[str]:
    """The tables that `kis-assets run` makes by default from a source, in this order.

    The virtual server allows one request per second and lacks most figures that are published on
    the next morning. By default none of those is made there.
    """
    return [
        table.name
        for table in TABLES.values()
        if table.is_default
        and source in table.sources
        and not (is_virtual and table.final == "published")
    ]

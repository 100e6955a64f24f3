"""Which jobs there are, and which of their runs are at work."""

from typing import Any

import dagster as dg

from kis_assets.defs.cache_warming import warm_cache
from kis_assets.defs.candle_repair import fetch_provisional_candles_again
from kis_assets.defs.checks.freshness import JUDGED, key_of
from kis_assets.defs.lake_maintenance import maintain
from kis_assets.settings import Settings
from kis_assets.tables import TABLES

_FRESHNESS = dg.AssetSelection.checks(*map(key_of, JUDGED))


TABLES_OF_JOB: dict[str, tuple[str, ...]] = {}
"""By job, the assets that it makes."""


def _job(name: str, *tables: str) -> Any:
    """The job that makes and checks these assets; whether others are fresh is another one."""
    TABLES_OF_JOB[name] = tables
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*tables) - _FRESHNESS)


freshness = dg.define_asset_job(
    "freshness",
    selection=_FRESHNESS,
    description="Look whether the newest session of each table is stored.",
)
# A run has one kind of partition, so a day is several jobs.
market_calendar = _job("market_calendar", "market_days")
stock_master_ingestion = _job("stock_master_ingestion", "stock_master")
reference_ingestion = _job("reference_ingestion", "stock_info", "corporate_actions")
# Of the candles of a day, whose marks tell what no list announced.
corporate_action_ingestion = _job("corporate_action_ingestion", "corporate_actions")
# The lake makes factors whenever candles change: this records and checks them.
price_adjustment = _job("price_adjustment", "adjustment_factors")
evening_report = _job("evening_report", "market_report")
krx_ingestion = _job("krx_ingestion", "krx_daily")
# In a session prices alone: master files that cannot be had must not cost a capture.
price_capture = _job("price_capture", "price_snapshots")
daily_price_ingestion = _job("daily_price_ingestion", "stock_master", "price_snapshots")
order_book_capture = _job("order_book_capture", "order_books")
daily_candle_ingestion = _job("daily_candle_ingestion", "daily_candles")
minute_candle_ingestion = _job("minute_candle_ingestion", "minute_candles")


# Figures of a day that are published overnight, one request a stock and table.
market_figure_ingestion = _job("market_figure_ingestion", "index_candles", "market_flows")
flow_ingestion = _job(
    "flow_ingestion", "investor_flows", "program_trades", "short_sales", "stock_loans"
)
credit_ingestion = _job("credit_ingestion", "credit_balances")
fund_ingestion = _job("fund_ingestion", "etf_navs")
valuation_capture = _job("valuation_capture", "valuations")
statement_ingestion = _job("statement_ingestion", "financial_statements")


# The journal of a stream becomes tables when the day is over.
tick_compaction = _job("tick_compaction", "stream_gaps", "trades", "order_book_ticks")


@dg.job(description="Ask now for the stocks that are traded most, for programs that ask later.")
def cache_warming() -> None:
    """One op, which stores nothing."""
    warm_cache()


@dg.job(description="Fetch candles again that were stored before they were final.")
def candle_repair() -> None:
    """One op, which makes the months that need it."""
    fetch_provisional_candles_again()


@dg.job(description="Delete old versions, and put what is closed together in larger files.")
def lake_maintenance() -> None:
    """One op, which changes no row."""
    maintain()


JOBS = [
    freshness,
    candle_repair,
    lake_maintenance,
    market_calendar,
    stock_master_ingestion,
    reference_ingestion,
    cache_warming,
    price_capture,
    daily_price_ingestion,
    order_book_capture,
    daily_candle_ingestion,
    minute_candle_ingestion,
    corporate_action_ingestion,
    price_adjustment,
    evening_report,
    krx_ingestion,
    market_figure_ingestion,
    flow_ingestion,
    credit_ingestion,
    fund_ingestion,
    valuation_capture,
    statement_ingestion,
    tick_compaction,
]


def assets_of_job(job: str, settings: Settings) -> list[dg.AssetKey] | None:
    """What a run of a job makes where the virtual server lacks some of it; None: all of the job."""
    tables = [table for table in TABLES.values() if table.catch_up == job]
    had = [table for table in tables if table.on_virtual != "lacking"]
    if not settings.is_virtual or len(had) == len(tables):
        return None
    return [dg.AssetKey(table.name) for table in had]


def running(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that wait or run."""
    waiting = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
    return list(
        instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus[it] for it in waiting]))
    )

"""All jobs, and the runs of them that are active."""

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
"""The assets that each job makes, by job name."""


def _job(name: str, *tables: str) -> Any:
    """A job that makes and checks these assets, without their freshness checks."""
    TABLES_OF_JOB[name] = tables
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*tables) - _FRESHNESS)


lakehouse_publication = _job("lakehouse_publication", "lakehouse")
freshness = dg.define_asset_job(
    "freshness",
    selection=_FRESHNESS,
    description="Check whether the newest session of each table is stored.",
)
# All partitions of a run are of one kind, so the tables of a day need several jobs.
market_calendar = _job("market_calendar", "market_days")
stock_master_ingestion = _job("stock_master_ingestion", "stock_master")
reference_ingestion = _job("reference_ingestion", "stock_info", "corporate_actions")
# After the day's candles, whose marks show actions that no list announced.
corporate_action_ingestion = _job("corporate_action_ingestion", "corporate_actions")
# The lake computes factors whenever candles change; this job records and checks them.
price_adjustment = _job("price_adjustment", "adjustment_factors")
evening_report = _job("evening_report", "market_report")
krx_ingestion = _job("krx_ingestion", "krx_daily")
# During a session only prices: unavailable master files must not prevent a capture.
price_capture = _job("price_capture", "price_snapshots")
daily_price_ingestion = _job("daily_price_ingestion", "stock_master", "price_snapshots")
order_book_capture = _job("order_book_capture", "order_books")
daily_candle_ingestion = _job("daily_candle_ingestion", "daily_candles")
minute_candle_ingestion = _job("minute_candle_ingestion", "minute_candles")


# Figures that are published overnight, with one request per stock and table.
market_figure_ingestion = _job("market_figure_ingestion", "index_candles", "market_flows")
flow_ingestion = _job(
    "flow_ingestion", "investor_flows", "program_trades", "short_sales", "stock_loans"
)
credit_ingestion = _job("credit_ingestion", "credit_balances")
fund_ingestion = _job("fund_ingestion", "etf_navs")
valuation_capture = _job("valuation_capture", "valuations")
statement_ingestion = _job("statement_ingestion", "financial_statements")


# When the day is over, the journal of the stream is stored in tables.
tick_compaction = _job("tick_compaction", "stream_gaps", "trades", "order_book_ticks")


@dg.job(description="Fill the cache with the most traded stocks, for programs that ask later.")
def cache_warming() -> None:
    """One op, which stores nothing."""
    warm_cache()


@dg.job(description="Fetch candles again that were stored before they were final.")
def candle_repair() -> None:
    """One op, which fetches the affected months."""
    fetch_provisional_candles_again()


@dg.job(description="Delete old versions, and compact closed units into larger files.")
def lake_maintenance() -> None:
    """One op, which changes no row."""
    maintain()


JOBS = [
    freshness,
    candle_repair,
    lake_maintenance,
    lakehouse_publication,
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
    """The assets of a job that the virtual server has; None: all assets of the job."""
    tables = [table for table in TABLES.values() if table.catch_up == job]
    had = [table for table in tables if table.on_virtual != "lacking"]
    if not settings.is_virtual or len(had) == len(tables):
        return None
    return [dg.AssetKey(table.name) for table in had]


def running(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that are queued or active."""
    waiting = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
    return list(
        instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus[it] for it in waiting]))
    )

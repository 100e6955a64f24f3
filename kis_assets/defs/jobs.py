"""Which jobs there are, and which of their runs are at work."""

import dagster as dg

from kis_assets.defs.cache_warming import warm_cache
from kis_assets.defs.candle_repair import fetch_provisional_candles_again
from kis_assets.defs.lake_maintenance import maintain
from kis_assets.settings import Settings
from kis_assets.tables import TABLES

# A run has one kind of partition, so a day is several jobs.
market_calendar = dg.define_asset_job("market_calendar", selection=["market_days"])
stock_master_ingestion = dg.define_asset_job("stock_master_ingestion", selection=["stock_master"])
reference_ingestion = dg.define_asset_job(
    "reference_ingestion", selection=["stock_info", "corporate_actions"]
)
# Of the candles of a day, whose marks tell what no list announced.
corporate_action_ingestion = dg.define_asset_job(
    "corporate_action_ingestion", selection=["corporate_actions"]
)
# The lake makes factors whenever candles change: this records and checks them.
price_adjustment = dg.define_asset_job("price_adjustment", selection=["adjustment_factors"])
evening_report = dg.define_asset_job("evening_report", selection=["market_report"])
krx_ingestion = dg.define_asset_job("krx_ingestion", selection=["krx_daily"])
# In a session prices alone: master files that cannot be had must not cost a capture.
price_capture = dg.define_asset_job("price_capture", selection=["price_snapshots"])
daily_price_ingestion = dg.define_asset_job(
    "daily_price_ingestion", selection=["stock_master", "price_snapshots"]
)
order_book_capture = dg.define_asset_job("order_book_capture", selection=["order_books"])
daily_candle_ingestion = dg.define_asset_job("daily_candle_ingestion", selection=["daily_candles"])
minute_candle_ingestion = dg.define_asset_job(
    "minute_candle_ingestion", selection=["minute_candles"]
)


# Figures of a day that are published overnight, one request a stock and table.
market_figure_ingestion = dg.define_asset_job(
    "market_figure_ingestion", selection=["index_candles", "market_flows"]
)
flow_ingestion = dg.define_asset_job(
    "flow_ingestion", selection=["investor_flows", "program_trades", "short_sales", "stock_loans"]
)
credit_ingestion = dg.define_asset_job("credit_ingestion", selection=["credit_balances"])
fund_ingestion = dg.define_asset_job("fund_ingestion", selection=["etf_navs"])
valuation_capture = dg.define_asset_job("valuation_capture", selection=["valuations"])
statement_ingestion = dg.define_asset_job("statement_ingestion", selection=["financial_statements"])


# The journal of a stream becomes tables when the day is over.
tick_compaction = dg.define_asset_job(
    "tick_compaction", selection=["stream_gaps", "trades", "order_book_ticks"]
)


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


def made_by(job: str, settings: Settings) -> list[dg.AssetKey] | None:
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

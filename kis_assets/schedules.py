"""Which jobs there are and when they run. What they make is the assets' own."""

from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg

from kis_assets import krx
from kis_assets.assets.actions import corporate_actions
from kis_assets.assets.candles import daily_candles, minute_candles
from kis_assets.assets.quotes import order_books, price_snapshots
from kis_assets.assets.reference import market_days, stock_info, stock_master
from kis_assets.assets.reports import market_report

# A run has one kind of partition, so the evening is three jobs.
market_calendar = dg.define_asset_job("market_calendar", selection=[market_days])
daily_price_ingestion = dg.define_asset_job(
    "daily_price_ingestion", selection=[stock_master, price_snapshots]
)
daily_candle_ingestion = dg.define_asset_job("daily_candle_ingestion", selection=[daily_candles])

order_book_capture = dg.define_asset_job("order_book_capture", selection=[order_books])
minute_candle_ingestion = dg.define_asset_job("minute_candle_ingestion", selection=[minute_candles])
reference_ingestion = dg.define_asset_job(
    "reference_ingestion", selection=[stock_info, corporate_actions]
)
evening_report = dg.define_asset_job("evening_report", selection=[market_report])

JOBS = [
    market_calendar,
    daily_price_ingestion,
    daily_candle_ingestion,
    order_book_capture,
    minute_candle_ingestion,
    reference_ingestion,
    evening_report,
]


Key = Callable[[date], str]


def _on_trading_days(name: str, job: Any, at: str, key: Key) -> dg.ScheduleDefinition:
    """A schedule at that time of Seoul which leaves out the days on which KRX is closed."""
    hour, minute = at.split(":")

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * 1-5",
        execution_timezone="Asia/Seoul",
        description=f"{job.name} at {at} in Seoul, on trading days of KRX",
    )
    def _schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(krx.SEOUL).date()
        if not krx.is_trading_day(day):
            return dg.SkipReason(f"{day} is no trading day of KRX")
        return dg.RunRequest(run_key=f"{name}-{day}", partition_key=key(day))

    return _schedule


# Off-hours trades count into a day until 20:00; candles fetched before are not final.
SCHEDULES = [
    _on_trading_days("calendar_evening", market_calendar, "20:40", lambda day: str(day.year)),
    _on_trading_days("prices_evening", daily_price_ingestion, "20:40", date.isoformat),
    _on_trading_days("minutes_evening", minute_candle_ingestion, "20:50", date.isoformat),
    _on_trading_days(
        "reference_morning",
        reference_ingestion,
        "08:00",
        lambda day: day.replace(day=1).isoformat(),
    ),
    _on_trading_days(
        "candles_evening",
        daily_candle_ingestion,
        "20:40",
        lambda day: day.replace(day=1).isoformat(),
    ),
]

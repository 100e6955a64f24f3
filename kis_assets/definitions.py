"""The project on one page: assets, checks, jobs, schedules, resources."""

import dagster as dg

from kis_assets.assets.candles import daily_candles
from kis_assets.assets.quotes import price_snapshots
from kis_assets.assets.reference import market_days, stock_master
from kis_assets.checks.listing import CHECKS
from kis_assets.resources import KISResource, LakeResource, credential
from kis_assets.schedules import JOBS, SCHEDULES

defs = dg.Definitions(
    assets=[market_days, stock_master, price_snapshots, daily_candles],
    asset_checks=CHECKS,
    jobs=JOBS,
    schedules=SCHEDULES,
    resources={
        "kis": KISResource(
            app_key=credential("KIS_APP_KEY"), app_secret=credential("KIS_APP_SECRET")
        ),
        "lake": LakeResource(),
    },
    # One process a run: the source is opened once, and a run is as cheap as it can be.
    executor=dg.in_process_executor,
)

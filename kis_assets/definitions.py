"""The project on one page: assets, checks, jobs, schedules, sensors, resources."""

import dagster as dg
from dagster_duckdb import DuckDBResource

from kis_assets import allocator as allocator  # before Polars
from kis_assets.defs import assets
from kis_assets.defs.checks.registry import CHECKS
from kis_assets.defs.jobs import JOBS
from kis_assets.defs.resources import KISResource, LakeResource, credential
from kis_assets.defs.schedules import schedules
from kis_assets.defs.sensors import sensors
from kis_assets.settings import Settings

# Read here as well: whether schedules run from the start, and when, is part of their definition.
_settings = Settings.load()

defs = dg.Definitions(
    assets=dg.load_assets_from_package_module(assets),
    asset_checks=CHECKS,
    jobs=JOBS,
    schedules=schedules(_settings),
    sensors=sensors(_settings),
    resources={
        "kis": KISResource(
            app_key=credential("KIS_APP_KEY"), app_secret=credential("KIS_APP_SECRET")
        ),
        "lake": LakeResource(),
        # KRX's own figures, whatever source is in use.
        "krx": KISResource(source_type="krx", krx_api_key=credential("KRX_API_KEY")),
        "krx_lake": LakeResource(source_type="krx"),
        # For assets that others add: reading only, since what is written there does not last.
        "market": DuckDBResource(
            database=str(_settings.source_dir / "market.duckdb"),
            connection_config={"access_mode": "READ_ONLY"},
        ),
    },
    # One process a run: the source is opened once, and a run is as cheap as it can be.
    executor=dg.in_process_executor,
)

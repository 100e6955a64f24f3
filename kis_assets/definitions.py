"""The project on one page: assets, checks, jobs, schedules, sensors, resources.

Dagster finds `load` and calls it. Programs use `defs`, which is its result.
"""

import os
import warnings
from functools import cache
from typing import Any

import dagster as dg
from dagster import _loggers as loggers
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)
from dagster_duckdb import DuckDBResource

from kis_assets.exchange.venues import mark_of
from kis_assets.settings import Settings, SettingsError

_ALLOCATOR = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""Makes Polars' allocator, jemalloc, return memory to the system as soon as it is free.

Storing a day of minutes takes 368 MB with it and 405 MB without. Very short queries become 50 %
slower, so only processes that run assets use it. jemalloc reads this variable when Polars is
loaded; there is no other way to set it.
"""


@dg.definitions
@cache
def load() -> dg.Definitions:
    """All definitions for Dagster. The first call reads the settings; the import does not.

    A process that runs assets calls this first, so that Polars is loaded with `_ALLOCATOR`.

    Raises:
        SettingsError: a setting is wrong.
    """
    # Even if it is set: Polars sets it too, and child processes inherit that value.
    os.environ["_RJEM_MALLOC_CONF"] = _ALLOCATOR
    from kis_assets.defs import assets
    from kis_assets.defs.agreement import agreed
    from kis_assets.defs.checks.freshness import freshness_checks
    from kis_assets.defs.checks.lakehouse import it_equals_the_lake
    from kis_assets.defs.checks.registry import CHECKS
    from kis_assets.defs.jobs import JOBS
    from kis_assets.defs.resources import KISResource, LakeResource, credential
    from kis_assets.defs.schedules import schedule_descriptions, schedules
    from kis_assets.defs.sensors import sensors
    from kis_assets.monitoring import json_log

    # Schedules need them when they are defined: whether they run from the start, and when.
    is_of_a_run = DefinitionsLoadContext.get().load_type is DefinitionsLoadType.RECONSTRUCTION
    try:
        settings = Settings.load()
    except SettingsError:
        if not is_of_a_run:
            raise
        settings = Settings()  # the run's step reports the error, in one sentence
    if json_log.begin(settings):
        # A job may bring loggers, but Dagster takes them only for runs whose configuration names
        # them.
        dagsters: Any = loggers
        dagsters.create_console_logger = json_log.logger_of_runs
    name = settings.source_name
    found: list[Any] = [*dg.load_assets_from_package_module(assets, include_specs=True)]
    with warnings.catch_warnings():
        # Links to the code are a beta feature of Dagster, whose version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        found = [*dg.with_source_code_references(found)]
    made = schedule_descriptions(settings)

    def with_times(spec: dg.AssetSpec) -> dg.AssetSpec:
        said = made.get(spec.key.to_user_string())
        return spec.merge_attributes(metadata={"runs (Seoul)": said}) if said else spec

    found = [*dg.map_asset_specs(with_times, found)]
    return dg.Definitions(
        assets=found,
        asset_checks=[*CHECKS, freshness_checks, it_equals_the_lake],
        jobs=JOBS,
        schedules=schedules(settings),
        sensors=sensors(settings),
        resources={
            "kis": KISResource(
                app_key=credential("KIS_APP_KEY"),
                app_secret=credential("KIS_APP_SECRET"),
                agreed=agreed(settings, make=not is_of_a_run),
            ),
            "lake": LakeResource(),
            # KRX's figures are used with any source.
            "krx": KISResource(source_type="krx", krx_api_key=credential("KRX_API_KEY")),
            "krx_lake": LakeResource(source_type="krx"),
            # For assets that users add. Read-only, because each publication replaces the file.
            "market": DuckDBResource(
                database=str(settings.source_dir / "market.duckdb"),
                connection_config={"access_mode": "READ_ONLY"},
            ),
        },
        metadata={"source": " - ".join(filter(None, (name, mark_of(name))))},
        # One process per run: the source is opened once, and a run costs as little as possible.
        executor=dg.in_process_executor,
    )


def __getattr__(name: str) -> Any:
    """`defs`, at its first use.

    Raises:
        AttributeError: the name is not `defs`.
    """
    if name == "defs":
        return load()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

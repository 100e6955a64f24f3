"""Assets materialized against a KIS server in the same process: what the tests of assets share."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any

import dagster as dg
import polars as pl
import pytest

from kis_assets import kis
from kis_assets.definitions import defs
from kis_assets.defs.resources import open_lake
from kis_assets.execution.history import definitions_of
from kis_assets.kis.endpoint import Endpoint
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.simulator.server import services
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import Table
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, open_source

FEW = "005930,000660,035420,005380,035720,068270,247540,086520"

Alter = Callable[[dict[str, Any]], object]
"""Changes the payload of an answer in place."""


def set_source(
    url: str, monkeypatch: pytest.MonkeyPatch, now: datetime = EVENING, **settings: str
) -> None:
    """An environment whose source is KIS's real server there, at that moment.

    Settings are given by variable, and replace those of here; one that is empty is not set.
    """
    environment = {
        "DATA_SOURCE_TYPE": "kis",
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_API_BASE_URL_REAL": url,
        "KIS_API_BASE_URL_VIRTUAL": url,
        "KIS_MASTER_BASE_URL": url,
        "KIS_REPLAY_AT": now.isoformat(),
        "KIS_STOCK_CODES": FEW,
        "KIS_API_MAX_RETRIES": "1",
        "KIS_API_RATE_LIMIT": "1000",
    }
    for name, value in (environment | settings).items():
        monkeypatch.setenv(name, value)


def point_at(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, now: datetime = EVENING, **settings: str
) -> None:
    """An environment whose source is that server, in this process, at that moment."""
    is_virtual = str(simulator.environment == "virtual").lower()
    given = {"KIS_USE_VIRTUAL_SERVER": is_virtual, **settings}
    set_source("http://kis.test", monkeypatch, now, **given)
    monkeypatch.setattr(
        "kis_assets.defs.resources.create_data_source",
        lambda settings: open_source(simulator, settings),
    )


def endpoints() -> list[Endpoint]:
    """Every service of KIS that is asked."""
    names = [module.name for module in pkgutil.iter_modules(kis.__path__)]
    modules = [import_module(f"{kis.__name__}.{name}") for name in names]
    found = [it for module in modules for it in vars(module).values()]
    return list(dict.fromkeys(it for it in found if isinstance(it, Endpoint)))


def alter(monkeypatch: pytest.MonkeyPatch, asked: Endpoint, change: Alter) -> None:
    """Have servers in this process answer a service otherwise, as long as the test runs."""
    service = services.SERVICES[asked.path]

    def answer(request: Any) -> Any:
        given = service.answer(request)
        change(given.payload)
        return given

    monkeypatch.setitem(services.SERVICES, asked.path, replace(service, answer=answer))


@cache
def in_memory() -> dg.DagsterInstance:
    """One for all tests of a process: to make it takes as long as to run an asset."""
    return dg.DagsterInstance.ephemeral()


def materialize(
    asset: str, partition: str, instance: dg.DagsterInstance | None = None
) -> dg.ExecuteInProcessResult:
    """Materialize a partition; what the resources do when the run is over works in any case."""
    instance = instance or in_memory()
    result = dg.materialize(
        definitions_of(asset),
        partition_key=partition,
        resources=defs.resources,
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    logged = instance.all_logs(result.run_id)
    assert not [it.message for it in logged if "Teardown of resources" in (it.message or "")]
    return result


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The sentence a failed run ends with."""
    assert not result.success
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data.user_failure_data
            assert data is not None, event.step_failure_data.error
            return str(data.description)
    raise AssertionError("no step failed")


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each check passed."""
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def all_checks_pass(result: dg.ExecuteInProcessResult) -> bool:
    assert checks(result)
    assert [name for name, passed in checks(result).items() if not passed] == []
    return True


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    return next(it for it in result.get_asset_check_evaluations() if it.check_name == name)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def lake() -> Lake:
    return open_lake(Settings.load())


def rows(table: Table) -> pl.DataFrame:
    return lake().scan(table).collect()

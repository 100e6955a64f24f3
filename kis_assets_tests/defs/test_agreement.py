"""A run on another host stores what was asked for, or says why not and stores nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.definitions_load_context import (
    DefinitionsLoadContext,
    DefinitionsLoadType,
)

from kis_assets import definitions
from kis_assets.defs.agreement import agreed
from kis_assets.defs.resources import KISResource, LakeResource
from kis_assets.execution import history
from kis_assets.lake.identity import identity
from kis_assets.settings import Settings, SettingsError
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.in_process import failure

ELSEWHERE = """\
run_launcher:
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
"""
"""Any launcher but that which starts a run on the host that was asked for it."""
LOAD: Any = vars(definitions.load.load_fn)["__wrapped__"]
"""The definitions as a process loads them that loads them for the first time."""
REDIS = "redis://127.0.0.1:1/0"
"""Nobody listens there: no test of this file needs a server."""


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dg.DagsterInstance]]:
    """Dagster whose runs start elsewhere, and Dagster whose runs start here."""
    homes = {name: tmp_path_factory.mktemp(name) for name in ("elsewhere", "here")}
    (homes["elsewhere"] / "dagster.yaml").write_text(ELSEWHERE)
    (homes["here"] / "dagster.yaml").write_text("")
    opened = {name: dg.DagsterInstance.from_config(str(home)) for name, home in homes.items()}
    yield opened
    for instance in opened.values():
        instance.dispose()


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host of several, with the mock market and the common data folder; that folder."""
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-03-17T20:50+09:00")
    monkeypatch.setenv("REDIS_URL", REDIS)
    monkeypatch.setenv("KIS_DATA_DIR", str(folder := tmp_path / "data"))
    identity(folder, make=True)
    return folder


def made(instance: dg.DagsterInstance, asked: dict[str, str]) -> dg.ExecuteInProcessResult:
    """A run of the calendar of 2026 here, that was asked for with these settings.

    What `kis` is configured with stands in the job that Dagster keeps with the run.
    """
    return dg.materialize(
        history.definitions_of("market_days"),
        partition_key="2026",
        resources={
            **(definitions.load().resources or {}),
            "kis": KISResource(agreed=asked),
            "lake": LakeResource(),
        },
        instance=instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def rows_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.parquet"))


# What goes along with a run


@pytest.mark.parametrize("name", ["__ASSET_JOB", "market_calendar", "lake_maintenance"])
def test_every_job_carries_what_its_runs_must_agree_on(name: str) -> None:
    """Whatever asks for a run (a schedule, the UI, a backfill) has Dagster keep the job with it."""
    asked = agreed(Settings.load())
    defs = dg.Definitions.merge(dg.Definitions(resources={"kis": KISResource(agreed=asked)}), ALL)
    job: Any = defs.get_repository_def().get_job(name)
    (resources,) = [it.resource_def_snaps for it in job.get_job_snapshot().mode_def_snaps]
    (config,) = [it.config_field_snap for it in resources if it.name == "kis"]
    assert json.loads(config.default_value_as_json_str)["agreed"] == asked


ALL = dg.Definitions(
    assets=definitions.load().assets,
    asset_checks=definitions.load().asset_checks,
    jobs=definitions.load().jobs,
    resources={k: v for k, v in (definitions.load().resources or {}).items() if k != "kis"},
)


def test_the_definitions_carry_the_settings_of_the_code_location() -> None:
    kis = (LOAD().resources or {})["kis"]
    assert kis.agreed == agreed(Settings.load())
    assert kis.agreed["source"] == "mock"


def test_no_secret_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_APP_KEY", APP_KEY)
    monkeypatch.setenv("KIS_APP_SECRET", APP_SECRET)
    monkeypatch.setenv("REDIS_URL", "redis://:very-secret@127.0.0.1:1/0")
    told = json.dumps(agreed(Settings.load()))
    assert not any(it in told for it in (APP_KEY, APP_SECRET, "very-secret"))


# The run elsewhere


def test_a_run_that_agrees_stores_its_rows(
    instances: dict[str, dg.DagsterInstance], host: Path
) -> None:
    assert made(instances["elsewhere"], agreed(Settings.load())).success
    assert rows_in(host)


KIS = {
    "DATA_SOURCE_TYPE": "kis",
    "KIS_APP_KEY": APP_KEY,
    "KIS_APP_SECRET": APP_SECRET,
    "KIS_API_BASE_URL_REAL": "http://kis.test",
    "KIS_API_BASE_URL_VIRTUAL": "http://kis.test",
    "KIS_MASTER_BASE_URL": "http://kis.test",
}


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (
            KIS,
            {"DATA_SOURCE_TYPE": ""},
            "the source is mock (no KIS_APP_KEY is set) and not kis",
        ),
        (KIS, KIS | {"KIS_VENUE": "nxt"}, "and not kis"),
        (
            KIS,
            KIS | {"KIS_USE_REAL_SERVER": "true"},
            "KIS_USE_REAL_SERVER is true and not false",
        ),
        ({}, {"KIS_UNIVERSE": "all"}, "KIS_UNIVERSE is all and not common"),
        ({}, {"KIS_STOCK_CODES": "005930"}, "KIS_STOCK_CODES is 005930 and not unset"),
        ({}, {"KIS_INDICES": "0001"}, "KIS_INDICES is 0001 and not unset"),
        ({}, {"KIS_REPLAY_AT": ""}, "KIS_REPLAY_AT is unset and not 2026-03-17"),
        ({}, {"KIS_LAKE_KEEP_DAYS": "1"}, "KIS_LAKE_KEEP_DAYS is 1 and not 30"),
        ({}, {"KIS_API_RATE_LIMIT": "100"}, "KIS_API_RATE_LIMIT is 100 and not 1"),
    ],
)
def test_a_run_that_would_store_other_rows_says_so_and_stores_nothing(
    there: dict[str, str],
    here: dict[str, str],
    said: str,
    instances: dict[str, dg.DagsterInstance],
    host: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as environment:
        for name, value in there.items():
            environment.setenv(name, value)
        asked = agreed(Settings.load())
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    sentence = failure(made(instances["elsewhere"], asked))
    assert said in sentence
    assert "\n" not in sentence
    assert rows_in(host) == []


def test_a_host_with_another_data_folder_says_so_and_stores_nothing(
    instances: dict[str, dg.DagsterInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = agreed(Settings.load())
    monkeypatch.setenv("KIS_DATA_DIR", str(other := tmp_path / "other"))
    sentence = failure(made(instances["elsewhere"], asked))
    assert f"KIS_DATA_DIR={other} is not the folder" in sentence
    assert not other.exists()
    identity(other, make=True)
    assert f"KIS_DATA_DIR={other} is not" in failure(made(instances["elsewhere"], asked))
    assert rows_in(other) == []


def test_a_code_location_that_could_not_read_its_data_folder_is_named(
    instances: dict[str, dg.DagsterInstance], host: Path
) -> None:
    asked = agreed(Settings.load()) | {"KIS_DATA_DIR": ""}
    sentence = failure(made(instances["elsewhere"], asked))
    assert "the code location could not read its KIS_DATA_DIR" in sentence
    assert rows_in(host) == []


def test_a_host_without_redis_says_so(
    instances: dict[str, dg.DagsterInstance], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL")
    sentence = failure(made(instances["elsewhere"], agreed(Settings.load())))
    assert "REDIS_URL is not set" in sentence
    assert rows_in(host) == []


def test_a_host_whose_settings_are_wrong_says_what_is(
    instances: dict[str, dg.DagsterInstance], host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = agreed(Settings.load())
    monkeypatch.setenv("DATA_SOURCE_TYPE", "kis")
    sentence = failure(made(instances["elsewhere"], asked))
    assert sentence.startswith("DATA_SOURCE_TYPE=kis needs KIS_APP_KEY and KIS_APP_SECRET")
    assert rows_in(host) == []


def test_a_worker_whose_settings_are_wrong_still_loads_the_run_which_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "kis")
    with pytest.raises(SettingsError):
        LOAD()
    worker = DefinitionsLoadContext(load_type=DefinitionsLoadType.RECONSTRUCTION)
    monkeypatch.setattr(DefinitionsLoadContext, "_instance", worker)
    assert LOAD().resources


# Where nothing has to agree


def test_a_run_on_the_host_that_was_asked_takes_its_settings_as_they_are_now(
    instances: dict[str, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = agreed(Settings.load())
    monkeypatch.setenv("KIS_UNIVERSE", "all")
    monkeypatch.delenv("REDIS_URL")
    assert made(instances["here"], asked).success


def test_a_run_that_an_earlier_version_was_asked_for_is_made(
    instances: dict[str, dg.DagsterInstance],
) -> None:
    assert made(instances["elsewhere"], {}).success


# The name of a data folder


def test_a_data_folder_has_one_name_for_all(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    assert identity(folder) == ""
    name = identity(folder, make=True)
    assert len(name) == 32
    assert identity(folder) == identity(folder, make=True) == name
    assert identity(tmp_path / "another", make=True) != name


def test_one_machine_names_no_folder(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("KIS_DATA_DIR", str(host.with_name("new")))
    LOAD()
    assert not host.with_name("new").exists()

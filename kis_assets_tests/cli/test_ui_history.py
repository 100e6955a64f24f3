"""Runs that were typed, as the UI shows them: found, listed, and started again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kis_assets_tests.cli.test_ui import UI, started
from kis_assets_tests.conftest import ENVIRONMENT

pytestmark = pytest.mark.slow

RUNS = """{ runsOrError { ... on Runs { results {
    runId status jobName parentPipelineSnapshotId assetSelection { path } tags { key value }
    repositoryOrigin { repositoryName repositoryLocationName }
} } } }"""
FEED = """{ runsFeedOrError(limit: 20, view: ROOTS) { ... on RunsFeedConnection { results {
    __typename id jobName runStatus ... on PartitionBackfill {
        partitionStatusCounts { runStatus count } partitionSet { name }
    }
} } } }"""
JOBS = """query ($name: String!, $location: String!) { repositoryOrError(repositorySelector: {
    repositoryName: $name, repositoryLocationName: $location
}) { ... on Repository { jobs { name pipelineSnapshotId runs(limit: 9) { runId } } } } }"""
AGAIN = """mutation ($run: String!, $how: ReexecutionStrategy!) { launchRunReexecution(
    reexecutionParams: { parentRunId: $run, strategy: $how }
) { __typename ... on LaunchRunSuccess { run { runId } } } }"""
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UI]:
    """The UI over a home in which three commands left their runs; one of them failed."""
    folder = tmp_path_factory.mktemp("typed")
    program = Path(sys.executable).parent / "kis-assets"
    given = ENVIRONMENT | {"DATA_SOURCE_TYPE": "mock", "KIS_STOCK_CODES": "005930"}
    for words, status in (
        ("run --table market_days", 0),
        ("run --table price_snapshots --date 2026-03-17", 1),  # prices of the past
        ("backfill daily_candles 2026-02 2026-03 --yes", 0),
    ):
        done = subprocess.run([program, *words.split()], cwd=folder, env=given, capture_output=True)
        assert done.returncode == status, done.stdout + done.stderr
    with started(folder) as there:
        yield there


def ask(ui: UI, query: str, **variables: str) -> Any:
    (found,) = ui.ask(json={"query": query, "variables": variables}).json()["data"].values()
    return found


def runs(ui: UI) -> dict[str, Any]:
    return {run["jobName"]: run for run in reversed(ask(ui, RUNS)["results"])}


def test_each_is_among_the_runs_of_a_job_that_is_loaded(ui: UI) -> None:
    found = runs(ui)
    assert set(found) >= {"market_calendar", "price_capture", "daily_candle_ingestion"}
    for name, run in found.items():
        origin = run["repositoryOrigin"]
        loaded = ask(
            ui, JOBS, name=origin["repositoryName"], location=origin["repositoryLocationName"]
        )
        (job,) = (it for it in loaded["jobs"] if it["name"] == name)
        assert run["runId"] in [it["runId"] for it in job["runs"]]
        # The UI warns where the job that is loaded is another one than that of the run.
        assert run["parentPipelineSnapshotId"] == job["pipelineSnapshotId"]


def test_the_list_of_runs_shows_a_backfill_as_one(ui: UI) -> None:
    listed = ask(ui, FEED)["results"]
    (backfill,) = (it for it in listed if it["__typename"] == "PartitionBackfill")
    assert (backfill["jobName"], backfill["runStatus"]) == ("daily_candle_ingestion", "SUCCESS")
    assert {it["runStatus"]: it["count"] for it in backfill["partitionStatusCounts"]} == {
        "SUCCESS": 2
    }
    assert backfill["partitionSet"] == {"name": "daily_candle_ingestion_partition_set"}
    others = {it["jobName"] for it in listed if it["__typename"] == "Run"}
    assert others >= {"market_calendar", "price_capture"}
    assert "daily_candle_ingestion" not in others


@pytest.mark.parametrize(
    ("job", "how", "ends"),
    [
        ("market_calendar", "ALL_STEPS", "SUCCESS"),
        ("price_capture", "FROM_FAILURE", "FAILURE"),  # as it did, since the day is over
    ],
)
def test_it_is_started_again(ui: UI, job: str, how: str, ends: str) -> None:
    first = runs(ui)[job]
    launched = ask(ui, AGAIN, run=first["runId"], how=how)
    assert launched["__typename"] == "LaunchRunSuccess", launched
    again = launched["run"]["runId"]
    ui.wait(lambda: ask(ui, STATUS, run=again)["status"] in ("SUCCESS", "FAILURE", "CANCELED"))
    assert ask(ui, STATUS, run=again)["status"] == ends, ui.log
    (run,) = (it for it in ask(ui, RUNS)["results"] if it["runId"] == again)
    assert (run["jobName"], run["assetSelection"]) == (job, first["assetSelection"])
    tags = {it["key"]: it["value"] for it in run["tags"]}
    assert tags["dagster/parent_run_id"] == first["runId"]
    # It came to its own end, and was not taken for one whose process is gone.
    assert again in tags["kis_assets/process"]

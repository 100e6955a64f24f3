"""The lineage in Dagster: where rows come from, what is made of them, and what is said of each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from kis_assets.definitions import defs
from kis_assets.defs.assets.views import SHOWN
from kis_assets.execution.runner import partition_of
from kis_assets.lake.views import VIEWS
from kis_assets.tables import TABLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    return defs.resolve_asset_graph()


def names(keys: object) -> set[str]:
    return {key.to_user_string() for key in keys}  # type: ignore[attr-defined]


def test_it_begins_with_what_is_asked_and_with_nothing_else(graph: AssetGraph) -> None:
    roots = names(key for key in graph.get_all_asset_keys() if not graph.get(key).parent_keys)
    assert roots == {
        *("kis_open_api", "kis_master_files", "real_time_feed", "krx_open_api"),
        "exchange_calendar",
    }
    of_group = {name for name in roots if graph.get(dg.AssetKey(name)).group_name == "sources"}
    assert of_group == roots
    assert not any(graph.get(dg.AssetKey(name)).is_executable for name in roots)


@pytest.mark.parametrize(
    ("table", "source"),
    [
        ("market_days", "exchange_calendar"),
        ("stock_master", "kis_master_files"),
        ("daily_candles", "kis_open_api"),
        ("investor_flows", "kis_open_api"),
        ("trades", "real_time_feed"),
        ("krx_daily", "krx_open_api"),
    ],
)
def test_a_table_follows_what_it_is_asked_of(graph: AssetGraph, table: str, source: str) -> None:
    assert source in names(graph.get(dg.AssetKey(table)).parent_keys)


def test_krx_follows_the_candles_that_it_checks(graph: AssetGraph) -> None:
    assert "daily_candles" in names(graph.get(dg.AssetKey("krx_daily")).parent_keys)


@pytest.mark.parametrize("view", SHOWN)
def test_a_view_ends_it_after_all_that_its_sql_reads(graph: AssetGraph, view: str) -> None:
    node = graph.get(dg.AssetKey(view))
    assert not node.is_executable
    assert not node.child_keys
    assert names(node.parent_keys) >= VIEWS[view].tables - {"quality", "requests"}
    assert (node.group_name, node.kinds) == ("views", {"duckdb", "sql"})
    assert VIEWS[view].about in str(node.description)
    columns = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == list(VIEWS[view].columns)


def test_the_condition_follows_every_table_that_is_judged(graph: AssetGraph) -> None:
    judged = {name for name in TABLES if dg.AssetKey(name) in graph.materializable_asset_keys}
    assert names(graph.get(dg.AssetKey("dataset_condition")).parent_keys) == judged


def test_what_nobody_makes_is_no_table_to_run() -> None:
    with pytest.raises(ValueError, match="there is no table 'latest_prices'") as caught:
        partition_of("latest_prices", date(2026, 3, 17))
    assert "kis_open_api" not in str(caught.value)


def test_tags_find_tables_by_source_and_subject(graph: AssetGraph) -> None:
    tags = {
        name: {key: value for key, value in graph.get(dg.AssetKey(name)).tags.items() if value}
        for name in ("order_books", "krx_daily")
    }
    assert tags == {
        "order_books": {
            "source": "kis",
            "table": "order_books",
            "live": "quotes",
            "domain": "quotes",
        },
        "krx_daily": {"source": "krx", "table": "krx_daily", "domain": "candles"},
    }


def test_an_asset_links_to_its_code(graph: AssetGraph) -> None:
    for key in graph.materializable_asset_keys:
        (reference, *_) = graph.get(key).metadata["dagster/code_references"].code_references
        path = Path(reference.file_path)
        assert (path.is_file(), path.parent.name) == (True, "assets"), key


def test_an_asset_says_when_it_is_really_made(graph: AssetGraph) -> None:
    assert graph.get(dg.AssetKey("valuations")).metadata["runs (Seoul)"] == (
        "valuations_close: 15 minutes after the close"
    )
    assert graph.get(dg.AssetKey("credit_balances")).metadata["runs (Seoul)"] == (
        "credit_morning: at 07:45, of 3 sessions before"
    )


@pytest.fixture
def dg_tool() -> Path:
    tool = Path(sys.executable).with_name("dg")
    if not tool.exists():
        pytest.skip("dg is not installed: make test-all installs it with the dev extra")
    return tool


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """As an activated environment says, else dg warns; nothing of this machine is used."""
    return os.environ | {
        "DATA_SOURCE_TYPE": "mock",
        "KIS_DATA_DIR": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path),
        "VIRTUAL_ENV": sys.prefix,
        "HOME": str(tmp_path),
    }


LOADED = """{ workspaceOrError { ... on Workspace { locationEntries {
    loadStatus locationOrLoadError { __typename } } } } }"""
PATIENCE = 180.0
"""Seconds for it to come up on a machine busy with other things."""


@pytest.mark.slow
def test_dg_dev_serves_it_from_the_root(
    dg_tool: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "dg.log").open("wb") as log:
        process = subprocess.Popen(
            [dg_tool, "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def locations() -> Any:
        query = {"query": LOADED}
        try:
            found = httpx.post(f"http://127.0.0.1:{port}/graphql", json=query, timeout=60)
        except httpx.HTTPError:
            return []
        return found.json()["data"]["workspaceOrError"]["locationEntries"]

    try:
        began = time.monotonic()
        while not (found := locations()) or found[0]["loadStatus"] != "LOADED":
            assert process.poll() is None, (tmp_path / "dg.log").read_text()
            assert time.monotonic() - began < PATIENCE, (tmp_path / "dg.log").read_text()
            time.sleep(0.5)
        assert [it["locationOrLoadError"] for it in found] == [{"__typename": "RepositoryLocation"}]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_the_tools_of_dagster_find_all_of_it(dg_tool: Path, environment: dict[str, str]) -> None:
    def asked(*words: str) -> str:
        done = subprocess.run(
            [dg_tool, *words], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    asked("check", "defs")
    listed = asked("list", "defs", "--json")
    for name in ("krx_open_api", "daily_candles", "dataset_condition", "freshness"):
        assert f'"{name}"' in listed

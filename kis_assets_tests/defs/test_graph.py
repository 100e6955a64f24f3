"""The lineage in Dagster: where rows come from, what is made of them, and what is said of each."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
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


@pytest.mark.slow
def test_the_tools_of_dagster_find_all_of_it(tmp_path: Path) -> None:
    dg_tool = Path(sys.executable).with_name("dg")
    if not dg_tool.exists():
        pytest.skip("dg is not installed: make test-all installs it with the dev extra")
    environment = os.environ | {"DATA_SOURCE_TYPE": "mock", "KIS_DATA_DIR": str(tmp_path)}
    # As an activated environment says; else dg warns.
    environment |= {"VIRTUAL_ENV": sys.prefix, "HOME": str(tmp_path)}

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

"""How a materialization goes into the lake: what it has just written is not read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from kis_assets.defs.materialization import Report
from kis_assets.lake.lake import Lake
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import QUALITY, REQUESTS
from kis_assets_tests.support.in_process import failure, lake, materialize, metadata, point_at

MONTH = "2026-03-01"

Entries = list[str]


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Entries:
    """What a run calls of the lake, from outside it, in order; `store` and `stored` among it."""
    found: Entries = []
    inside = [0]

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def entered(lake: Lake, *given: Any, **options: Any) -> Any:
            if not inside[0]:
                found.append(" ".join([name, *(it.name for it in given[:1] if hasattr(it, "key"))]))
            inside[0] += 1
            try:
                return call(lake, *given, **options)
            finally:
                inside[0] -= 1

        return entered

    for name in ("replace", "scan", "units", "written_at", "publish", "read"):
        monkeypatch.setattr(Lake, name, noted(name, getattr(Lake, name)))
    store = Report.store

    def stored(*given: Any, **options: Any) -> Any:
        found.append("store")
        try:
            return store(*given, **options)
        finally:
            found.append("stored")

    monkeypatch.setattr(Report, "store", stored)
    return found


def test_a_month_of_candles_goes_from_the_asset_to_the_file_in_two_entries(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, entries: Entries
) -> None:
    point_at(simulator, monkeypatch, KIS_STOCK_CODES="", KIS_UNIVERSE="top8")
    result = materialize("daily_candles", MONTH)
    assert result.success, failure(result)
    begun, ended = entries.index("store"), entries.index("stored")
    assert entries[begun + 1 : ended] == ["replace daily_candles", "replace quality"]
    # What the checks found and what was asked is one more write each.
    written = [it for it in entries[ended + 1 :] if it.startswith(("replace", "publish"))]
    assert written == ["replace quality", "replace requests"]
    with duckdb.connect(lake().database, read_only=True) as connection:
        for table, rows in (
            ("daily_candles", metadata(result)["dagster/row_count"]),
            ("quality", lake().scan(QUALITY).collect().height),
            ("requests", lake().scan(REQUESTS).collect().height),
        ):
            assert connection.sql(f"SELECT count(*) FROM {table}").fetchall() == [(rows,)] != [(0,)]

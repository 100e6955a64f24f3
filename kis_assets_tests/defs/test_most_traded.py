"""The most traded stocks, from one's own snapshot: KIS's own ranking ends with the 30th."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from kis_assets.defs.universe import most_traded
from kis_assets.errors import InvalidRequest
from kis_assets.lake.lake import Scope
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import PRICE_SNAPSHOTS
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.in_process import lake, materialize, point_at, rows

DAY = EVENING.date()


def test_the_top_of_the_latest_snapshot_comes_first(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    assert materialize("price_snapshots", DAY.isoformat()).success
    stored = rows(PRICE_SNAPSHOTS).sort("trading_value", descending=True)
    assert most_traded(lake(), 3) == stored["stock_code"].head(3).to_list()
    assert most_traded(lake(), 100) == stored["stock_code"].to_list()
    assert most_traded(lake(), 3, DAY) == most_traded(lake(), 3)


def test_only_the_newest_day_counts_and_its_last_capture(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    assert materialize("price_snapshots", DAY.isoformat()).success
    stored = rows(PRICE_SNAPSHOTS).sort("trading_value")
    later, least = EVENING + timedelta(minutes=5), stored["stock_code"][0]
    again = stored.head(1).with_columns(
        captured_at=pl.lit(later).dt.convert_time_zone("UTC").dt.cast_time_unit("us"),
        trading_value=stored["trading_value"].max() + 1,
    )
    lake().replace(PRICE_SNAPSHOTS, Scope.capture(DAY, later), again)
    assert most_traded(lake(), 2) == [least, stored["stock_code"][-1]]


def test_without_a_snapshot_it_is_said_what_to_do(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    with pytest.raises(InvalidRequest, match=r"no price was captured yet.*run: kis-assets run"):
        most_traded(lake(), 20)
    with pytest.raises(InvalidRequest, match="no price was captured on 2026-03-17"):
        most_traded(lake(), 20, DAY)

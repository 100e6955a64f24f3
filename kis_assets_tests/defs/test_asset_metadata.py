"""What an asset's page shows first: the picture, then a few rows that people can read."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from kis_assets.charts.of_tables import Drawn
from kis_assets.defs.asset_metadata import cell, markdown, preview
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import DAILY_CANDLES, TABLES
from kis_assets_tests.support.in_process import materialize, metadata, point_at
from kis_assets_tests.support.small_rows import candle, frame

DAY = date(2026, 3, 17)
MOST = 6
"""Columns that an asset's page shows without cutting one off, names included."""


def test_the_picture_and_the_first_rows_come_before_every_figure(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.charts.of_tables.picture", lambda *_: Drawn(b"PNG", "![]()"))
    point_at(simulator, monkeypatch)
    shown = list(metadata(materialize("price_snapshots", str(DAY))))
    assert shown[:3] == ["at a glance", "picture", "preview"]


def test_a_name_stands_beside_its_code() -> None:
    candles = frame(
        DAILY_CANDLES,
        *(candle(DAY, 1, 1, 1, 1) | {"stock_code": code} for code in ("005930", "999990")),
    )
    stocks = pl.DataFrame(
        {"stock_code": ["005930"] * 2, "stock_name": ["삼성전자(구)", "삼성전자"]}
    )
    shown = preview(DAILY_CANDLES, candles, stocks)
    assert shown.columns[1:3] == ["stock_code", "stock_name"]
    assert dict(zip(shown["stock_code"], shown["stock_name"], strict=True)) == {
        "005930": "삼성전자",
        "999990": None,
    }


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_column_of_a_preview_is_cut_off(table) -> None:
    if table.preview is not None:
        names = pl.DataFrame(schema={"stock_code": pl.String, "stock_name": pl.String})
        assert len(preview(table, table.empty(), names).columns) <= MOST


def test_no_date_is_wrapped() -> None:
    instant = datetime(2026, 3, 17, 6, 30, tzinfo=UTC)
    for value in (DAY, instant):
        assert not {"-", " "} & set(cell(value))
    shown = markdown(pl.DataFrame({"day": [DAY]})).md_str
    assert "2026\N{NON-BREAKING HYPHEN}03\N{NON-BREAKING HYPHEN}17" in str(shown)
    assert cell("a-b c") == "a-b c"

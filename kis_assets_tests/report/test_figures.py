"""What a page tells of indices, flows, short sales and programmes, and of which day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from kis_assets.kis.investor_flows import CLASSES
from kis_assets.lake.lake import Lake, Scope
from kis_assets.report.daily_report import day_report
from kis_assets.report.figures import Figures, figures
from kis_assets.report.page import drawn, page
from kis_assets.settings import Settings
from kis_assets.tables import (
    DAILY_CANDLES,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    MARKET_FLOWS,
    PROGRAM_TRADES,
    SHORT_SALES,
    Table,
)
from kis_assets_tests.support.small_rows import candle, frame

BEFORE, DAY = date(2026, 3, 16), date(2026, 3, 17)
NAMES = {"005930": "가온전자", "000660": "나래<b>"}
BILLION = 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data" / "mock", source="mock")


def put(lake: Lake, table: Table, *rows: dict[str, Any]) -> None:
    zero = {it.name: 0 for it in table.columns if not it.nullable and it.dtype.is_numeric()}
    lake.replace(table, Scope.month(DAY), frame(table, *(zero | row for row in rows)))


def put_indices(lake: Lake, *days: date) -> None:
    put(lake, INDEX_CANDLES, *(
        {"trading_day": day, "index_code": code, "index_name": "종합", "open": 2600.0,
         "high": 2650.0, "low": 2590.0, "close": close, "change": change,
         "trading_value": 9_000 * BILLION}
        for day in days
        for code, close, change in
        (("2001", 350.0, 1.0), ("0001", 2_626.0, 26.0), ("1001", 798.0, -2.0), ("0013", 10.0, 1.0))
    ))  # fmt: skip


def put_flows(lake: Lake, day: date) -> None:
    """Of one stock foreigners bought for 3 bn, registered or not; of the other they sold for 2."""
    nets = {
        "005930": {"foreign_registered": 2, "foreign_unregistered": 1, "pension": -3},
        "000660": {"foreign_registered": -2, "bank": 1, "insurance": 1},
    }
    put(lake, INVESTOR_FLOWS, *(
        {"trading_day": day, "stock_code": code, "investor": name,
         "net_value": nets[code].get(name, 0) * BILLION}
        for code in nets for name in CLASSES
    ))  # fmt: skip


def told(lake: Lake) -> Figures:
    return figures(lake, DAY, NAMES, Settings.load(data_source_type="mock"))


def test_indices_come_as_people_name_them(lake: Lake) -> None:
    put_indices(lake, BEFORE, DAY)
    found = told(lake).indices
    assert found["name"].to_list() == ["KOSPI", "KOSDAQ", "KOSPI 200"]
    assert found["rate"].to_list() == pytest.approx([1.0, -0.25, 100 / 349])
    assert found["trading_day"].unique().to_list() == [DAY]


def test_foreigners_are_two_classes_and_institutions_seven(lake: Lake) -> None:
    put_flows(lake, DAY)
    by_title = {it.title: it for it in told(lake).rankings}
    value = {title: it.rows.select("stock_name", "value").rows() for title, it in by_title.items()}
    assert value == {
        "Bought most by foreigners": [("가온전자", 3 * BILLION)],
        "Sold most by foreigners": [("나래<b>", -2 * BILLION)],
        "Bought most by institutions": [("나래<b>", 2 * BILLION)],
        "Sold most by institutions": [("가온전자", -3 * BILLION)],
    }


def test_markets_have_what_each_bought_less_sold(lake: Lake) -> None:
    put(lake, MARKET_FLOWS, *(
        {"trading_day": DAY, "market": "KOSPI", "investor": name,
         "net_value": {"individual": -7, "foreign_registered": 4, "pension": 2,
                       "other_corporation": 1}.get(name, 0) * BILLION}
        for name in CLASSES
    ))  # fmt: skip
    (row,) = told(lake).markets.to_dicts()
    assert [row[who] // BILLION for who in ("individuals", "foreigners", "institutions")] == [
        *(-7, 4, 2)
    ]
    assert row["others"] == BILLION


def test_short_sales_are_told_by_value_and_by_share(lake: Lake) -> None:
    shorted = (("005930", 5 * BILLION, 1.5), ("000660", BILLION, 12.0), ("035420", 0, None))
    put(lake, SHORT_SALES, *(
        {"trading_day": DAY, "stock_code": code, "short_volume": value // 1000,
         "short_value": value, "short_ratio": ratio}
        for code, value, ratio in shorted
    ))  # fmt: skip
    by_value, by_share = told(lake).rankings
    assert by_value.rows["stock_code"].to_list() == ["005930", "000660"]
    assert by_share.rows["stock_code"].to_list() == ["000660", "005930"]


def test_programmes_have_both_ends(lake: Lake) -> None:
    put(lake, PROGRAM_TRADES, *(
        {"trading_day": DAY, "stock_code": code, "net_value": value}
        for code, value in (("005930", 10), ("000660", -20), ("035420", 0))
    ))  # fmt: skip
    bought, sold = told(lake).rankings
    assert (bought.title, bought.rows["stock_code"].to_list()) == (
        "Bought most by programmes",
        ["005930"],
    )
    assert sold.rows["stock_code"].to_list() == ["000660"]


def test_a_day_without_figures_has_those_of_the_session_before(lake: Lake) -> None:
    put_indices(lake, BEFORE)
    put_flows(lake, BEFORE)
    found = told(lake)
    assert found.indices["trading_day"].unique().to_list() == [BEFORE]
    assert {ranking.day for ranking in found.rankings} == {BEFORE}


def test_figures_of_last_month_are_no_news(lake: Lake) -> None:
    put_indices(lake, date(2026, 3, 1))
    found = told(lake)
    assert found.indices.is_empty()
    assert "index_candles" in found.missing


def page_of(lake: Lake, tmp_path: Path, **given: Any) -> tuple[Figures, str]:
    put(lake, DAILY_CANDLES, candle(DAY, 10, 12, 9, 11))
    settings = Settings.load(
        **{"data_source_type": "mock", "kis_data_dir": tmp_path / "data"} | given
    )
    report = day_report(lake, DAY, settings)
    assert report is not None
    return report.figures, page(report, "mock", drawn(report, print))


def test_the_page_says_of_which_day_its_figures_are(lake: Lake, tmp_path: Path) -> None:
    put_indices(lake, BEFORE)
    put_flows(lake, BEFORE)
    _, html = page_of(lake, tmp_path)
    assert "2,626.00" in html
    assert "Bought most by foreigners" in html
    assert html.count(f"of {BEFORE}") == 1 + 3 + 4  # the reason, three indices, four rankings
    put_indices(lake, DAY)
    put_flows(lake, DAY)
    _, html = page_of(lake, tmp_path)
    assert f"of {BEFORE}" not in html


EARLIER = "are published on the next morning: until then they are those of"


def test_it_says_why_they_are_of_the_session_before(lake: Lake, tmp_path: Path) -> None:
    put_indices(lake, BEFORE)
    put_flows(lake, BEFORE)
    assert f"{EARLIER} {BEFORE}." in page_of(lake, tmp_path)[1]
    put_indices(lake, DAY)
    put_flows(lake, DAY)
    assert EARLIER not in page_of(lake, tmp_path)[1]


def test_the_page_names_what_fetches_figures_that_are_missing(lake: Lake, tmp_path: Path) -> None:
    put_indices(lake, DAY)
    found, html = page_of(lake, tmp_path)
    assert found.missing == ["market_flows", "investor_flows", "program_trades", "short_sales"]
    assert (
        "kis-assets run --table market_flows --table investor_flows --table program_trades "
        "--table short_sales"
    ) in html


def test_with_a_virtual_key_it_names_what_only_the_real_server_has(
    lake: Lake, tmp_path: Path
) -> None:
    virtual = {"data_source_type": "kis", "kis_use_virtual_server": True}
    _, html = page_of(lake, tmp_path, kis_app_key="k" * 36, kis_app_secret="s" * 180, **virtual)
    assert "kis-assets run --table index_candles fetches what has been published." in html
    assert (
        "The virtual server has no market_flows and no investor_flows and no program_trades and "
        "no short_sales."
    ) in html

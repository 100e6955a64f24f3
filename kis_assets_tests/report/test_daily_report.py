"""The evening report: a page made of what is stored, and only of that."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import account, record
from kis_assets.lake.views import VIEWS, View
from kis_assets.report.daily_report import WINDOW, day_report
from kis_assets.report.page import drawn, page, price_note, store
from kis_assets.settings import Settings
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    PRICE_SNAPSHOTS,
    STOCK_MASTER,
    Table,
)
from kis_assets_tests.support.in_process import failure, materialize, metadata

DAY = date(2026, 3, 17)
NAMES = {"005930": "삼성전자", "000660": "SK<b>하이닉스&", "035420": "NAVER"}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data" / "mock", source="mock")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(data_source_type="mock", kis_data_dir=tmp_path / "data")


def put(lake: Lake, table: Table, scope: Scope, rows: list[dict[str, Any]]) -> None:
    """Store rows; what they do not say is empty text, zero or null."""
    known = session_closes()
    blank: dict[Any, Any] = {pl.String(): "00", pl.Int64(): 0, pl.Float64(): 0.0}
    filled = [
        {
            column.name: row.get(
                column.name,
                None if column.nullable else blank.get(column.dtype, column.dtype == pl.Boolean()),
            )
            for column in table.columns
        }
        | {"source": lake.source, "fetched_at": known}
        for row in rows
    ]
    lake.replace(table, scope, pl.DataFrame(filled, schema=table.schema, strict=False))


def session_closes() -> Any:
    session = calendar.session(DAY)
    assert session is not None
    return session.closes_at


def put_master(lake: Lake, codes: dict[str, str] = NAMES) -> None:
    put(
        lake,
        STOCK_MASTER,
        Scope.day(DAY),
        [
            {
                "trading_day": DAY,
                "stock_code": code,
                "stock_name": name,
                "market": "KOSPI",
                "security_type": "common",
                "security_group": "ST",
                "listed_shares": 1_000,
            }
            for code, name in codes.items()
        ],
    )


def put_prices(lake: Lake, changes: dict[str, int], base: int = 1_000) -> None:
    put(
        lake,
        PRICE_SNAPSHOTS,
        Scope.capture(DAY, session_closes()),
        [
            {
                "trading_day": DAY,
                "captured_at": session_closes(),
                "stock_code": code,
                "stock_name": NAMES[code],
                "price": base + change,
                "base_price": base,
                "change": change,
                "change_rate": 100 * change / base,
                "volume": 10,
                "trading_value": 10 * (base + change),
                "market_cap": 1_000 * (base + change),
            }
            for code, change in changes.items()
        ],
    )


def put_candles(lake: Lake, closes: dict[str, list[int]], **more: Any) -> None:
    """Closes of the sessions up to DAY, the last ones last."""
    length = max(map(len, closes.values()))
    days = calendar.trading_days(DAY - timedelta(days=60), DAY)[-length:]
    rows = [
        {
            "trading_day": day,
            "stock_code": code,
            **dict.fromkeys(("open", "high", "low", "close", "base_price"), close),
            "volume": 10,
            "trading_value": 10 * close,
            **(more if day == days[-2] else {}),
        }
        for code, series in closes.items()
        for day, close in zip(days[-len(series) :], series, strict=True)
    ]
    for month in {day.replace(day=1) for day in days}:
        inside = [row for row in rows if row["trading_day"].replace(day=1) == month]
        put(lake, DAILY_CANDLES, Scope.month(month), inside)


def test_a_day_of_which_nothing_is_stored_has_no_report(lake: Lake, settings: Settings) -> None:
    put_master(lake)
    assert day_report(lake, DAY, settings) is None


def test_the_market_moves_as_its_value_does(lake: Lake, settings: Settings) -> None:
    put_master(lake)
    put_prices(lake, {"005930": 100, "000660": -50, "035420": 0})
    found = day_report(lake, DAY, settings)
    assert found is not None
    (market,) = found.markets.to_dicts()
    assert (market["up"], market["down"], market["flat"]) == (1, 1, 1)
    assert market["weighted"] == pytest.approx(100 * 50 / 3_000)
    assert found.risers["stock_code"].to_list() == ["005930"]
    assert found.fallers["stock_code"].to_list() == ["000660"]
    assert found.leaders["stock_code"].to_list() == ["005930", "035420", "000660"]


def test_a_stock_without_a_price_is_named(lake: Lake, settings: Settings) -> None:
    put_master(lake)
    put_prices(lake, {"005930": 100})
    found = day_report(lake, DAY, settings)
    assert found is not None
    assert found.without_price["stock_code"].to_list() == ["000660", "035420"]
    assert "NAVER (035420)" in page(found, "mock", drawn(found, print))


def test_daily_candles_stand_in_where_nothing_was_captured(lake: Lake, settings: Settings) -> None:
    put_master(lake)
    put_candles(lake, {"005930": [1_000, 1_100]})
    found = day_report(lake, DAY, settings)
    assert found is not None
    assert not found.from_captures
    assert found.quotes["stock_name"].to_list() == ["삼성전자"]
    assert found.highs is None, "two sessions are no twenty"


def test_a_new_high_is_a_close_above_every_close_of_twenty_sessions(
    lake: Lake, settings: Settings
) -> None:
    put_candles(
        lake,
        {
            "005930": [1_000] * WINDOW + [1_001],
            "000660": [1_000] * (WINDOW - 1) + [1_200, 1_200],
            "035420": [1_000] * WINDOW + [999],
        },
    )
    found = day_report(lake, DAY, settings)
    assert found is not None
    assert found.highs is not None
    assert found.lows is not None
    assert found.highs["stock_code"].to_list() == ["005930"]
    assert found.lows["stock_code"].to_list() == ["035420"]


def test_a_stock_that_was_split_meanwhile_has_no_new_low(lake: Lake, settings: Settings) -> None:
    put_candles(lake, {"005930": [10_000] * WINDOW + [1_000]}, split_ratio=0.1)
    found = day_report(lake, DAY, settings)
    assert found is not None
    assert found.lows is not None
    assert found.lows.is_empty()


class Opened(HTMLParser):
    """The elements that are open at the end, and everything the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_loads_nothing(lake: Lake, settings: Settings) -> None:
    put_master(lake)
    put_prices(lake, {"005930": 100, "000660": -50, "035420": 0})
    put_candles(lake, {"005930": [1_000] * 30})
    put(
        lake,
        CORPORATE_ACTIONS,
        Scope.month(DAY),
        [
            {
                "effective_on": DAY + timedelta(days=ahead),
                "stock_code": "000660",
                "kind": "bonus_issue",
                "origin": "bonus",
                "effective_from": "ex_on",
                "ratio": 1.5,
            }
            for ahead in (-1, 0, 7)
        ],
    )
    found = day_report(lake, DAY, settings)
    assert found is not None
    assert found.actions.height == 1
    assert found.upcoming.height == 1
    warned: list[str] = []
    html = page(found, "mock", drawn(found, warned.append))
    assert warned == []
    assert len(html.encode()) < 500_000
    read = Opened(html)
    assert read.open == []
    assert read.loads
    assert all(it.startswith("data:image/png;base64,") for it in read.loads)
    assert not re.search(r"url\(|@import|<script", html)
    assert "SK&lt;b&gt;하이닉스&amp;" in html
    assert "SK<b>" not in html
    assert "MOCK DATA" in html
    assert "MOCK DATA" not in page(found, "kis", drawn(found, warned.append))


def test_what_the_catalog_knows_to_be_missing_stands_on_the_page(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        VIEWS,
        "dataset_condition",
        View(
            "Which days are there",
            {},
            """
            SELECT 'order_books' AS table_name, DATE '2026-03-17' AS trading_day,
                   'missing' AS condition, 'nobody <i>came</i>' AS reason
            """,
        ),
    )
    put_prices(lake, {"005930": 100})
    found = day_report(lake, DAY, settings)
    assert found is not None
    html = page(found, "mock", drawn(found, print))
    assert "nobody &lt;i&gt;came&lt;/i&gt;" in html
    assert "Which table has which day" in html


def test_a_picture_that_cannot_be_drawn_costs_no_page(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> bytes:
        raise RuntimeError("no more ink")

    put_prices(lake, {"005930": 100})
    found = day_report(lake, DAY, settings)
    assert found is not None
    monkeypatch.setattr("kis_assets.charts.market.market_breadth", broken)
    warned: list[str] = []
    assert "삼성전자" in page(found, "mock", drawn(found, warned.append))
    assert "no more ink" in "".join(warned)


def test_a_page_takes_the_place_of_the_one_before_and_leaves_nothing_else(lake: Lake) -> None:
    store(lake, DAY, "old")
    path = store(lake, DAY, "새것")
    assert path.read_text(encoding="utf-8") == "새것"
    assert [it.name for it in path.parent.iterdir()] == ["2026-03-17.html"]


def test_the_asset_writes_the_page_of_its_day_and_refuses_a_day_it_knows_nothing_of(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    assert "so there is nothing to report; run: kis-assets run" in failure(
        materialize("market_report", DAY.isoformat())
    )
    put_master(lake)
    put_prices(lake, {"005930": 100, "000660": -50, "035420": 0})
    failed = {"035420": ServiceUnavailable("down")}
    record(lake, DAILY_CANDLES, [account({DAY: 2}, {}, failed)])
    told = metadata(materialize("market_report", DAY.isoformat()))
    assert Path(told["page"]) == lake.folder / "reports" / "2026-03-17.html"
    assert "삼성전자" in Path(told["page"]).read_text(encoding="utf-8")
    assert "삼성전자" in told["preview"]
    assert "MOCK DATA" in told
    assert told["condition of the data"].startswith("![which table has which day](data:image/png")
    assert "| daily_candles | 2026‑03‑17 | degraded |" in told["not available"]


AUTUMN = date(2026, 10, 1)


def put_evening(lake: Lake, regular_close: int | None) -> None:
    """A quote of 20:40, when the after-market's last price was 1,100."""
    row = {
        "trading_day": AUTUMN,
        "captured_at": datetime(2026, 10, 1, 11, 40, tzinfo=UTC),
        "stock_code": "005930",
        "stock_name": "삼성전자",
        "price": 1_100,
        "regular_close": regular_close,
        "base_price": 1_000,
        "change": 100,
        "change_rate": 10.0,
        "volume": 10,
        "trading_value": 10_500,
        "market_cap": 1_100_000,
    }
    put(lake, PRICE_SNAPSHOTS, Scope.capture(AUTUMN, row["captured_at"]), [row])


def test_a_report_gives_official_closes_and_the_whole_days_volume(
    lake: Lake, settings: Settings
) -> None:
    put_evening(lake, 1_050)
    found = day_report(lake, AUTUMN, settings)
    assert found is not None
    (quote,) = found.quotes.to_dicts()
    assert (quote["price"], quote["change_rate"], quote["trading_value"]) == (1_050, 5.0, 10_500)
    assert price_note(found).startswith("official closes, and what was traded until")


def test_a_report_without_an_official_close_says_so(lake: Lake, settings: Settings) -> None:
    put_evening(lake, None)
    found = day_report(lake, AUTUMN, settings)
    assert found is not None
    assert found.quotes["price"].to_list() == [1_100]
    assert price_note(found) == "prices captured 2026-10-01 20:40 in Seoul, not the official closes"
    assert found.highs is None


@pytest.mark.parametrize(
    ("is_final", "said"),
    [(True, "from final daily candles"), (False, "from daily candles, not final for 1 stocks")],
)
def test_a_report_from_candles_says_whether_they_are_final(
    lake: Lake, settings: Settings, is_final: bool, said: str
) -> None:
    closes = {"trading_day": AUTUMN, "stock_code": "005930", "base_price": 1_000}
    closes |= dict.fromkeys(("open", "high", "low", "close"), 1_100)
    row = closes | {"volume": 10, "trading_value": 11_000, "is_final": is_final}
    put(lake, DAILY_CANDLES, Scope.month(AUTUMN), [row])
    found = day_report(lake, AUTUMN, settings)
    assert found is not None
    assert price_note(found).startswith(said)


def test_the_chart_of_a_report_shows_the_official_close(lake: Lake, settings: Settings) -> None:
    put_evening(lake, 1_050)
    row = {"trading_day": AUTUMN, "stock_code": "005930", "base_price": 1_000, "volume": 10}
    row |= {"open": 1_000, "high": 1_100, "low": 1_000, "close": 1_100, "change": 100}
    put(lake, DAILY_CANDLES, Scope.month(AUTUMN), [row | {"is_final": False}])
    found = day_report(lake, AUTUMN, settings)
    assert found is not None
    assert found.candles.is_empty()  # what is known of the close is one price, and no candle
    at_close = {
        **{"trading_day": AUTUMN, "captured_at": datetime(2026, 10, 1, 6, 45, tzinfo=UTC)},
        **{"stock_code": "005930", "stock_name": "삼성전자", "session": "closing_price"},
        **{"open": 1_000, "high": 1_060, "low": 990, "price": 1_050, "regular_close": 1_050},
        **{"base_price": 1_000, "change": 50, "change_rate": 5.0, "market_cap": 1_050_000},
    }
    put(lake, PRICE_SNAPSHOTS, Scope.capture(AUTUMN, at_close["captured_at"]), [at_close])
    found = day_report(lake, AUTUMN, settings)
    assert found is not None
    (candle,) = found.candles.to_dicts()
    assert [candle[name] for name in ("high", "low", "close", "change")] == [1_060, 990, 1_050, 50]

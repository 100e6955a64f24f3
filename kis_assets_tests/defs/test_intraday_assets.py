"""The assets order_books and minute_candles, in a session and after it, with their checks."""

from __future__ import annotations

from datetime import datetime

import pytest

from kis_assets.defs.resources import open_lake
from kis_assets.exchange import calendar
from kis_assets.settings import Settings
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import ORDER_BOOKS
from kis_assets_tests.conftest import market_at
from kis_assets_tests.defs.test_assets import DAY, MONTH
from kis_assets_tests.support.in_process import failure, materialize, point_at, set_source

RUNS = {
    "2026-09-22T16:05:00+09:00": [("minute_candles", "2026-09-22")],
    "2026-09-22T20:50:00+09:00": [
        ("daily_candles", "2026-09-01"),
        ("minute_candles", "2026-09-22"),
        ("minute_candles", "2026-09-21"),
    ],
    "2026-03-17T10:30:15+09:00": [("order_books", DAY), ("minute_candles", DAY)],
    "2026-03-17T20:50:00+09:00": [("daily_candles", MONTH), ("minute_candles", "2026-03-16")],
}


@pytest.mark.parametrize("now", RUNS)
def test_books_and_minutes_go_from_kis_to_the_lake_and_their_checks_pass(
    monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    market = market_at(datetime.fromisoformat(now))
    with serve(Simulator(market, rate_limit=0, token_window=0.0)) as url:
        set_source(url, monkeypatch, datetime.fromisoformat(now))
        for asset, partition in RUNS[now]:
            result = materialize(asset, partition)
            assert result.success, failure(result)
            broken = [c.check_name for c in result.get_asset_check_evaluations() if not c.passed]
            # No stock master is stored here.
            assert set(broken) <= {"universe_is_covered"}, asset
            metadata = result.asset_materializations_for_node(asset)[0].metadata
            assert metadata["failed"].value == 0
            assert metadata["dagster/row_count"].value >= 8
        assert "no longer available" in failure(materialize("minute_candles", "2024-03-18"))
        assert "no longer" in failure(materialize("order_books", "2026-03-16"))


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-17T23:50:00+09:00", "2026-03-18 09:00"),
        ("2026-11-18T23:50:00+09:00", "2026-11-19 10:00"),  # the day of the CSAT
        ("2026-09-22T15:45:00+09:00", "2026-09-22 16:00"),
        ("2026-03-21T11:00:00+09:00", "2026-03-23 09:00"),  # a Saturday
    ],
)
def test_books_that_nobody_quotes_are_not_stored(
    monkeypatch: pytest.MonkeyPatch, now: str, opens: str
) -> None:
    moment = datetime.fromisoformat(now)
    simulator = Simulator(market_at(moment), rate_limit=0, token_window=0.0)
    point_at(simulator, monkeypatch, moment)
    day = calendar.latest_session(moment).day
    said = failure(materialize("order_books", f"{day}"))
    assert f"nobody quotes at {moment:%H:%M} in Seoul" in said
    assert f"try again from {opens} on" in said
    assert open_lake(Settings.load()).scan(ORDER_BOOKS).collect().is_empty()


def test_books_of_the_after_market_are_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.fromisoformat("2026-09-22T19:30:00+09:00")
    simulator = Simulator(market_at(moment), rate_limit=0, token_window=0.0)
    point_at(simulator, monkeypatch, moment)
    result = materialize("order_books", "2026-09-22")
    assert result.success, failure(result)
    broken = [c.check_name for c in result.get_asset_check_evaluations() if not c.passed]
    assert set(broken) <= {"universe_is_covered"}

"""The assets order_books and minute_candles, in a session and after it, with their checks."""

from __future__ import annotations

from datetime import datetime

import pytest

from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import market_at
from kis_assets_tests.defs.test_assets import DAY, MONTH
from kis_assets_tests.support.in_process import failure, materialize, set_source

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
        assert "can no longer be had" in failure(materialize("minute_candles", "2024-03-18"))
        assert "no longer" in failure(materialize("order_books", "2026-03-16"))

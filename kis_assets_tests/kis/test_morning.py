"""Candles fetched on the morning after: to which of them the night's correction has come."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path

import polars as pl
import pytest

from kis_assets.defs.assets.daily_candles import _as_final_as_known
from kis_assets.defs.assets.market_days import computed_days, overridden
from kis_assets.defs.resources import open_lake
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.simulator.market.after_market import Correction
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import DAILY_CANDLES, MARKET_DAYS, PRICE_SNAPSHOTS
from kis_assets_tests.conftest import open_source
from kis_assets_tests.support.in_process import materialize, point_at
from kis_assets_tests.support.in_process import rows as stored
from kis_assets_tests.support.small_rows import candle, frame

CODES = ("005930", "000660", "035420", "247540")
LATE = "035420"
DAY = date(2026, 11, 12)


def served_at(now: datetime, **market: object) -> Simulator:
    """A server at a moment, whose tokens live by the clock on the wall."""
    return Simulator(
        ModelMarket(0, lambda: now, **market),  # type: ignore[arg-type]
        rate_limit=0,
        token_window=0.0,
        clock=lambda: datetime.now(now.tzinfo),
    )


def final_codes(settings: Settings, moment: str, **market: object) -> set[str]:
    """The stocks whose candle of the day before is called final when it is fetched then."""
    now = datetime.fromisoformat(f"2026-11-13T{moment}:00+09:00")
    at = settings.model_copy(update={"kis_replay_at": now})
    with open_source(served_at(now, **market), at) as source:
        rows = source.tables.daily_candles(CODES, DAY.replace(day=1), DAY).rows
    final = rows.filter(pl.col("trading_day") == DAY, pl.col("is_final"))
    assert rows.filter(pl.col("trading_day") < DAY)["is_final"].all()
    return set(final["stock_code"])


LATER = Correction(late=frozenset((LATE,)), late_at=time(8, 30), late_share=0)


@pytest.mark.parametrize(
    ("moment", "final"),
    [
        ("05:30", set[str]()),  # corrected, and before anybody can rely on it
        ("07:30", set(CODES) - {LATE}),
        ("08:40", set(CODES)),
        ("15:31", set(CODES)),
    ],
)
def test_a_stock_whose_correction_is_late_is_not_called_final(
    settings: Settings, moment: str, final: set[str]
) -> None:
    assert final_codes(settings, moment, correction=LATER) == final


def test_a_correction_that_has_not_come_by_the_last_try_is_told_by_the_other_stocks(
    settings: Settings,
) -> None:
    much_later = Correction(late=frozenset((LATE,)), late_at=time(10, 0), late_share=0)
    assert final_codes(settings, "08:40", correction=much_later) == set(CODES) - {LATE}


@pytest.mark.parametrize(
    ("moment", "final"),
    [
        # When KIS turns to the new day is not known: as long as it has not, it is asked again.
        ("07:30", {"247540"}),  # which closed as on the day before
        ("08:10", {"247540"}),
        ("08:40", set(CODES)),
    ],
)
def test_while_kis_states_the_day_before_nothing_is_final_until_the_last_try(
    settings: Settings, moment: str, final: set[str]
) -> None:
    assert final_codes(settings, moment, rolls_at=time(8, 55)) == final


def test_a_close_that_was_captured_proves_or_refutes_the_candle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evening = datetime.fromisoformat("2026-11-12T15:45:00+09:00")
    morning = datetime.fromisoformat("2026-11-13T07:30:00+09:00")
    moment = [evening]
    # KIS has not turned to the new day, so that its own word says nothing.
    server = served_at(evening)
    server.market = ModelMarket(0, lambda: moment[0], rolls_at=time(8, 55), correction=LATER)
    for now, asset, key in (
        (evening, "price_snapshots", "2026-11-12"),
        (morning, "daily_candles", "2026-11-01"),
    ):
        moment[0] = now
        point_at(server, monkeypatch, now, KIS_STOCK_CODES=",".join(CODES))
        assert materialize(asset, key).success
    of_day = stored(DAILY_CANDLES).filter(trading_day=DAY)
    assert set(of_day.filter("is_final")["stock_code"]) == set(CODES) - {LATE}


def test_a_session_that_kis_has_called_off_corrects_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.fromisoformat("2026-11-13T10:00:00+09:00")
    point_at(served_at(now), monkeypatch, now, KIS_STOCK_CODES="005930")
    said = overridden(
        computed_days(2026, "kis", now), MARKET_DAYS.empty(), {date(2026, 11, 13): False}, now
    )
    open_lake(Settings.load()).replace(MARKET_DAYS, Scope.year(2026), said)
    assert materialize("daily_candles", "2026-11-01").success
    rows = stored(DAILY_CANDLES)
    assert not rows.filter(trading_day=DAY)["is_final"].any()
    assert rows.filter(pl.col("trading_day") < DAY)["is_final"].all()


@pytest.mark.parametrize(("high", "is_final"), [(10_000, True), (10_300, False)])
def test_a_close_that_did_not_move_does_not_hide_the_after_markets_high(
    tmp_path: Path, high: int, is_final: bool
) -> None:
    lake = Lake(tmp_path, source="kis")
    seen = datetime(2026, 11, 12, 6, 45, tzinfo=UTC)
    quote = dict.fromkeys(("open", "high", "low", "price", "regular_close"), 10_000)
    quote |= dict.fromkeys(("volume", "trading_value", "change", "change_rate"), 1)
    quote |= {"trading_day": DAY, "captured_at": seen, "session": "closing_price"}
    quote |= {"stock_code": "005930", "stock_name": "삼성전자"}
    lake.replace(
        PRICE_SNAPSHOTS, Scope.capture(DAY, seen), frame(PRICE_SNAPSHOTS, quote, source="kis")
    )
    row = frame(DAILY_CANDLES, candle(DAY, 10_000, high, 10_000, 10_000))
    morning = datetime.fromisoformat("2026-11-13T07:30:00+09:00")
    assert _as_final_as_known(row, lake, morning)["is_final"].to_list() == [is_final]

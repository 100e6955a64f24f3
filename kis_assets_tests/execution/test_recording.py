"""The service: it opens before a session, follows, makes its list anew at noon, and stores."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kis_assets.exchange import calendar
from kis_assets.execution import recording
from kis_assets.execution.recording import Recording
from kis_assets.lake.lake import Lake, Scope
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import MARKET_DAYS, STREAM_GAPS, TRADES
from kis_assets.ticks.journal import Journal
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.small_rows import frame

CODES = ["005930", "000660"]


class Clock:
    """A clock that goes on at a speed, from a moment on."""

    def __init__(self, start: str, speed: float) -> None:
        self._start = datetime.fromisoformat(f"{start}+09:00")
        self.speed, self._began = speed, time.monotonic()

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self.speed)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "kis", source="kis")


def service(lake: Lake, clock: Clock, settings: Settings | None = None) -> Recording:
    return Recording(
        settings or Settings.load(data_source_type="mock"), lake, lambda: CODES, clock=clock,
        look=0.01,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-26T05:00:00", "2026-11-26"),
        ("2026-11-26T20:04:00", "2026-11-26"),
        ("2026-11-26T20:06:00", "2026-11-27"),
        ("2026-11-28T12:00:00", "2026-11-30"),  # a Saturday
        ("2026-12-24T21:00:00", "2026-12-28"),  # Christmas is a Friday
    ],
)
def test_the_session_that_is_recorded_next(lake: Lake, now: str, expected: str) -> None:
    assert str(service(lake, Clock(now, 0))._next().day) == expected


def test_a_session_that_kis_called_off_is_left_out(lake: Lake) -> None:
    day = {"day": calendar.today().replace(year=2026, month=11, day=26), "is_open": False,
           "known_from": "kis"}  # fmt: skip
    lake.replace(MARKET_DAYS, Scope.year(2026), frame(MARKET_DAYS, day, source="kis"))
    assert str(service(lake, Clock("2026-11-26T05:00:00", 0))._next().day) == "2026-11-27"


def test_a_day_that_is_left_is_stored_when_the_service_begins(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2026-11-25", "2026-11-26"):
        Journal(lake.folder, datetime.fromisoformat(day).date(), writes=True)
    stored: list[str] = []
    monkeypatch.setattr(Recording, "store", lambda _, session: stored.append(str(session.day)))
    service(lake, Clock("2026-11-26T19:00:00", 0))._store_what_is_left()
    assert stored == ["2026-11-25"]
    service(lake, Clock("2026-11-26T20:30:00", 0))._store_what_is_left()
    assert stored[1:] == ["2026-11-25", "2026-11-26"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, Clock]]:
    """A server and a service with one clock, which walks from morning to night in some seconds."""
    clock = Clock("2026-11-26T07:40:00", 3_000)
    simulator = Simulator(ModelMarket(0, clock), rate_limit=0, token_window=0.0, clock=calendar.now)
    with serve(simulator, tick=0.01) as url:
        for name, value in {
            "DATA_SOURCE_TYPE": "kis", "KIS_APP_KEY": APP_KEY, "KIS_APP_SECRET": APP_SECRET,
            "KIS_USE_VIRTUAL_SERVER": "false", "KIS_DATA_DIR": str(tmp_path),
            "KIS_API_BASE_URL_REAL": url, "KIS_MASTER_BASE_URL": url,
            "KIS_WS_URL_REAL": url.replace("http", "ws"),
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield Settings.load(), clock


@pytest.mark.slow
def test_a_day_from_morning_to_night(
    machine: tuple[Settings, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, clock = machine
    lake = Lake(settings.source_dir, source=settings.source_name)
    lists = iter([CODES, ["000660", "035420"]])
    made = Recording(settings, lake, lambda: next(lists), clock=clock, look=0.02)
    stored: list[str] = []
    whole = Recording.store

    def store(self: Recording, session: calendar.Session) -> object:
        # Dagster's runs take their moment from the settings.
        replayed = self.settings.model_copy(update={"kis_replay_at": clock()})
        monkeypatch.setenv("KIS_REPLAY_AT", clock().isoformat())
        self.settings = replayed
        found = whole(self, session)
        stored.extend(f"{it.table} {it.partition} {it.error}".strip() for it in found)
        self.stop()
        return found

    monkeypatch.setattr(recording.Recording, "store", store)
    made.run()
    assert stored == [
        f"{name} 2026-11-26" for name in ("stream_gaps", "trades", "order_book_ticks")
    ]
    rows = lake.scan(TRADES).collect()
    assert set(rows["stock_code"]) == {"005930", "000660", "035420"}
    by_stock = {
        code: (part["traded_at"].min(), part["traded_at"].max())
        for (code,), part in rows.group_by("stock_code")
    }
    noon = datetime.fromisoformat("2026-11-26T12:00:00+09:00")
    assert by_stock["005930"][1] < noon + timedelta(minutes=30)
    assert by_stock["035420"][0] > noon - timedelta(minutes=5)
    assert by_stock["000660"][0] < noon < by_stock["000660"][1]
    assert set(rows["session"]) >= {"regular", "after_market"}
    gaps = lake.scan(STREAM_GAPS).collect()
    assert {("005930", "left_out"), ("035420", "late_start")} == set(
        gaps.select("stock_code", "reason").rows()
    )
    condition = lake.read(
        "SELECT table_name, condition FROM dataset_condition WHERE trading_day = "
        "DATE '2026-11-26' AND table_name IN ('trades', 'stream_gaps', 'order_book_ticks')"
    )
    assert set(condition["condition"]) == {"available"}

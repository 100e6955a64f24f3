"""A run that died goes on where it stopped, and never with what may have changed since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.resume import History
from kis_assets.state.cache import SqliteStore
from kis_assets.transport.stats import Tally
from kis_assets_tests.conftest import EVENING

CODES = ["005930", "000660", "035720", "051910", "005380", "068270"]
FIRST, LAST = date(2026, 2, 2), date(2026, 2, 27)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "cache.sqlite")
    yield opened
    opened.close()


def run(simulator: Simulator, settings: Settings, store: SqliteStore) -> KISDataSource:
    """The source of a new run."""
    return KISDataSource(
        settings,
        transport=InProcessTransport(simulator),
        workers=1,
        has_quota=False,
        store=store,
    )


class Killed(BaseException):
    """The process is gone."""


def kill_at(number: int):
    def progress(completed: int, total: int, code: str) -> None:
        if completed == number:
            raise Killed

    return progress


def test_a_run_that_died_asks_only_for_what_it_had_not_got(
    simulator: Simulator, settings: Settings, store: SqliteStore
) -> None:
    with run(simulator, settings, store) as source, pytest.raises(Killed):
        source.tables.daily_candles(CODES, FIRST, LAST, kill_at(4))
    with run(simulator, settings, store) as source:
        again = source.tables.daily_candles(CODES, FIRST, LAST)
        assert source.tally.cache_hits["history"] >= 4
    assert simulator.calls("itemchartprice") == len(CODES)
    with KISDataSource(
        settings, transport=InProcessTransport(simulator), has_quota=False
    ) as source:
        whole = source.tables.daily_candles(CODES, FIRST, LAST)
    without = pl.exclude("fetched_at")
    key = ["trading_day", "stock_code"]
    assert again.rows.sort(key).select(without).equals(whole.rows.sort(key).select(without))


def test_what_was_kept_says_when_it_was_fetched(
    simulator: Simulator, settings: Settings, store: SqliteStore
) -> None:
    with run(simulator, settings, store) as source:
        first = source.tables.daily_candles(CODES[:1], FIRST, LAST).rows
    with run(simulator, settings, store) as source:
        again = source.tables.daily_candles(CODES[:1], FIRST, LAST).rows
        assert source.tally.cache_hits == {"history": 1}
    difference = (first["fetched_at"][0] - again["fetched_at"][0]).total_seconds()
    assert 0 <= difference < 60


def test_minutes_are_kept_too(simulator: Simulator, settings: Settings, store: SqliteStore) -> None:
    day = date(2026, 3, 16)
    with run(simulator, settings, store) as source:
        first = source.tables.minute_candles(CODES[:2], day).rows
    before = len(simulator.log)
    with run(simulator, settings, store) as source:
        again = source.tables.minute_candles(CODES[:2], day).rows
    assert len(simulator.log) == before
    without = pl.exclude("fetched_at")
    assert again.select(without).equals(first.select(without))


def test_a_failed_stock_is_asked_again(
    simulator: Simulator, settings: Settings, store: SqliteStore
) -> None:
    simulator.faults.bad_number = When(calls=1, path="itemchartprice")
    with run(simulator, settings, store) as source:
        assert set(source.tables.daily_candles(CODES[:2], FIRST, LAST).failed) == {CODES[0]}
    with run(simulator, settings, store) as source:
        fetched = source.tables.daily_candles(CODES[:2], FIRST, LAST)
    assert not fetched.failed
    assert fetched.rows["stock_code"].n_unique() == 2


@pytest.mark.parametrize(
    ("hour", "minute", "last", "lasts"),
    [
        (12, 0, EVENING.date(), 0),  # the session runs: today's bar is not finished
        (12, 0, EVENING.date() - timedelta(days=1), 6 * 3600),
        (16, 0, EVENING.date(), 3600),
        (19, 55, EVENING.date(), 600),  # never beyond the last trade off hours
        (20, 6, EVENING.date(), 6 * 3600),
    ],
)
def test_how_long_a_span_is_kept(
    settings: Settings, hour: int, minute: int, last: date, lasts: float
) -> None:
    now = EVENING.replace(hour=hour, minute=minute)
    assert History(settings, None, Tally())._seconds_to_live(last, now) == lasts


@pytest.mark.parametrize(
    ("now", "last", "lasts"),
    [
        # A Thursday's bars change in the night before Friday's session, a Friday's before Monday's.
        ("2026-10-01 21:00", "2026-10-01", 6 * 3600),
        ("2026-10-02 03:30", "2026-10-01", 2.5 * 3600),
        ("2026-10-02 06:00", "2026-10-01", 6 * 3600),
        ("2026-10-18 12:00", "2026-10-31", 6 * 3600),
        ("2026-10-19 01:00", "2026-10-16", 5 * 3600),
        ("2026-10-19 01:00", "2026-10-15", 6 * 3600),
    ],
)
def test_a_provisional_bar_is_not_kept_beyond_its_correction(
    settings: Settings, now: str, last: str, lasts: float
) -> None:
    at = datetime.fromisoformat(f"{now}:00+09:00")
    assert History(settings, None, Tally())._seconds_to_live(date.fromisoformat(last), at) == lasts


def test_the_next_day_asks_anew(
    simulator: Simulator, settings: Settings, store: SqliteStore
) -> None:
    with run(simulator, settings, store) as source:
        source.tables.daily_candles(CODES[:1], FIRST, LAST)
    before = len(simulator.log)
    tomorrow: datetime = EVENING + timedelta(days=1)
    later = settings.model_copy(update={"kis_replay_at": tomorrow})
    with run(simulator, later, store) as source:
        source.tables.daily_candles(CODES[:1], FIRST, LAST)
    assert len(simulator.log) > before


def test_a_store_that_fails_fails_no_run(
    simulator: Simulator,
    settings: Settings,
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._file, "_open", full)
    with run(simulator, settings, store) as source:
        fetched = source.tables.daily_candles(CODES[:2], FIRST, LAST)
    assert fetched.rows["stock_code"].n_unique() == 2


def test_a_setting_turns_it_off(
    simulator: Simulator, settings: Settings, store: SqliteStore
) -> None:
    off = settings.model_copy(update={"kis_cache_ttl_chart": 0})
    for _ in range(2):
        with run(simulator, off, store) as source:
            source.tables.daily_candles(CODES[:1], FIRST, LAST)
    assert simulator.calls("itemchartprice") == 2

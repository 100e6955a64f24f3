"""Where a Partitions bar begins: at the first day that was captured, not years before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from kis_assets.defs.partitions import first_day, partitions_of, upstream
from kis_assets.defs.resources import open_lake
from kis_assets.exchange import calendar
from kis_assets.settings import Settings
from kis_assets.settings.mistakes import SettingsError
from kis_assets.tables import (
    KRX_DAILY,
    MINUTE_CANDLES,
    ORDER_BOOK_TICKS,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    STOCK_MASTER,
    TABLES,
    TRADES,
    VALUATIONS,
    Table,
)
from kis_assets.ticks.journal import Journal

TODAY = date(2026, 3, 17)
EARLIER = date(2026, 2, 3)
LIVE = [table for table in TABLES.values() if table.live]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Those of a user who has not set the first day, as the other tests do."""
    return settings.model_copy(update={"kis_first_day": None})


def write(settings: Settings, table: Table, day: date) -> None:
    """A file of a day, as the lake names it."""
    unit = open_lake(settings).folder / "versions" / table.name / f"trading_day={day}"
    unit.mkdir(parents=True)
    assert open_lake(settings).units(table) == [unit.name]


@pytest.mark.parametrize("table", LIVE, ids=lambda table: table.name)
def test_of_an_empty_lake_it_is_the_current_session(settings: Settings, table: Table) -> None:
    assert first_day(table, settings) == TODAY
    sunday = datetime(2026, 3, 22, 12, tzinfo=calendar.SEOUL)
    later = settings.model_copy(update={"kis_replay_at": sunday})
    assert first_day(table, later) == date(2026, 3, 20)


def test_it_is_the_first_day_that_is_stored(settings: Settings) -> None:
    write(settings, ORDER_BOOKS, EARLIER)
    assert first_day(ORDER_BOOKS, settings) == EARLIER
    assert first_day(VALUATIONS, settings) == TODAY


@pytest.mark.parametrize(
    ("one", "other"), [(STOCK_MASTER, PRICE_SNAPSHOTS), (ORDER_BOOK_TICKS, TRADES)]
)
def test_tables_that_one_run_makes_begin_together(
    settings: Settings, one: Table, other: Table
) -> None:
    write(settings, one, EARLIER)
    assert first_day(one, settings) == first_day(other, settings) == EARLIER


def test_a_recorded_day_that_waits_to_be_stored_is_in_it(settings: Settings) -> None:
    journal = Journal(settings.source_dir, EARLIER).path
    journal.parent.mkdir(parents=True)
    journal.touch()
    assert first_day(TRADES, settings) == EARLIER


def test_a_setting_puts_it_earlier(settings: Settings) -> None:
    write(settings, ORDER_BOOKS, EARLIER)
    for asked, begins in ((date(2026, 1, 5), date(2026, 1, 5)), (date(2026, 3, 2), EARLIER)):
        with_setting = settings.model_copy(update={"kis_first_day": asked})
        assert first_day(ORDER_BOOKS, with_setting) == begins
    ahead = settings.model_copy(update={"kis_first_day": date(2027, 1, 4)})
    assert first_day(VALUATIONS, ahead) == TODAY


def test_a_setting_that_is_no_day_is_named() -> None:
    for word in ("yesterday", "1700000000"):
        with pytest.raises(SettingsError, match=r"KIS_FIRST_DAY=\w+: must be a day such as 2026-"):
            Settings.load(kis_first_day=word)


def test_a_setting_lies_not_in_the_future_of_the_clock_or_of_a_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A replay of the past does not refuse what is right without it."""
    morning = datetime(2026, 3, 17, 0, 30, tzinfo=calendar.SEOUL)
    monkeypatch.setattr(calendar, "now", lambda: morning)
    assert Settings.load(kis_first_day=TODAY).kis_first_day == TODAY
    past, ahead = datetime(2026, 1, 5, tzinfo=calendar.SEOUL), datetime(2026, 3, 17, 15, tzinfo=UTC)
    assert Settings.load(kis_first_day=TODAY, kis_replay_at=past).kis_first_day == TODAY
    tomorrow = TODAY + timedelta(days=1)
    with pytest.raises(SettingsError, match="KIS_FIRST_DAY=2026-03-18 lies in the future"):
        Settings.load(kis_first_day=tomorrow)
    assert Settings.load(kis_first_day=tomorrow, kis_replay_at=ahead).kis_first_day == tomorrow


def test_minutes_begin_where_kis_still_has_them(settings: Settings) -> None:
    since = first_day(MINUTE_CANDLES, settings)
    assert len(calendar.trading_days(since, TODAY)) == MINUTE_CANDLES.sessions_kept
    write(settings, MINUTE_CANDLES, date(2024, 5, 7))
    assert first_day(MINUTE_CANDLES, settings) == date(2024, 5, 7)


def test_krx_tells_of_its_whole_past(settings: Settings) -> None:
    of_krx = Settings.load(data_source_type="krx", krx_api_key="k", kis_replay_at=None)
    assert first_day(STOCK_MASTER, of_krx) == date(2020, 1, 1)
    assert partitions_of(KRX_DAILY).start.date() == date(2010, 1, 4)


PROGRAM = """
import json, warnings
warnings.simplefilter("ignore")
from kis_assets.definitions import load
graph = load().resolve_asset_graph()
starts = {}
for key in graph.get_all_asset_keys():
    partitions = graph.get(key).partitions_def
    if partitions is not None:
        starts[key.to_user_string()] = str(partitions.start.date())
print(json.dumps(starts))
"""


def loaded(folder: Path) -> dict[str, str]:
    """The first day of each asset's partitions, as a code location that is loaded now has it."""
    environment = os.environ | {"DATA_SOURCE_TYPE": "mock", "KIS_DATA_DIR": str(folder)}
    environment |= {"KIS_REPLAY_AT": f"{TODAY}T20:50+09:00"}
    environment.pop("KIS_FIRST_DAY", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_new_lake_has_no_bar_of_days_that_nobody_can_have(tmp_path: Path) -> None:
    starts = loaded(tmp_path / "data")
    assert {starts[table.name] for table in LIVE} == {str(TODAY)}
    assert not (tmp_path / "data").exists()


def test_a_month_depends_on_no_day_before_the_first() -> None:
    """Else Dagster refuses to backfill it, for want of partitions that can never be made."""
    mapping = upstream(STOCK_MASTER.name).partition_mapping
    assert isinstance(mapping, dg.TimeWindowPartitionMapping)
    found = mapping.get_upstream_mapped_partitions_result_for_partitions(
        partitions_of(TABLES["daily_candles"]).empty_subset().with_partition_keys(["2015-03-01"]),
        partitions_of(TABLES["daily_candles"]),
        partitions_of(STOCK_MASTER),
    )
    assert found.required_but_nonexistent_subset.is_empty

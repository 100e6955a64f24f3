"""A table is fresh when its newest session that is due is stored; a day off is no session."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta

import dagster as dg
import pytest

from kis_assets.definitions import defs
from kis_assets.defs.assets.market_days import computed_days
from kis_assets.defs.checks.freshness import NAME
from kis_assets.defs.jobs import JOBS
from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import account, record
from kis_assets.tables import (
    DAILY_CANDLES,
    KRX_DAILY,
    MARKET_DAYS,
    ORDER_BOOKS,
    PRICE_SNAPSHOTS,
    Table,
)
from kis_assets_tests.support.in_process import lake, set_source

FRIDAY, MONDAY = date(2026, 5, 22), date(2026, 5, 25)
"""The Monday is Buddha's Birthday, observed: KRX is closed."""


def at(monkeypatch: pytest.MonkeyPatch, day: date, hour: int) -> None:
    """The lake, its calendar of 2026 stored, at that hour in Seoul."""
    now = datetime(day.year, day.month, day.day, hour, 30, tzinfo=calendar.SEOUL)
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_REPLAY_AT", now.isoformat())
    lake().replace(MARKET_DAYS, Scope.year(2026), computed_days(2026, "mock", now))


def stored(table: Table, day: date) -> None:
    record(lake(), table, [account({day: 5}, {}, {})])


def verdicts() -> dict[str, tuple[bool, str]]:
    job = defs.resolve_job_def("freshness")
    result = job.execute_in_process(resources=defs.resources, raise_on_error=True)
    found = result.get_asset_check_evaluations()
    assert {it.check_name for it in found} <= {NAME}
    assert {it.severity for it in found} <= {dg.AssetCheckSeverity.WARN}
    return {it.asset_key.to_user_string(): (it.passed, str(it.description)) for it in found}


def test_it_is_stale_when_a_session_was_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, FRIDAY, 23)
    stored(PRICE_SNAPSHOTS, FRIDAY)
    stored(ORDER_BOOKS, FRIDAY - timedelta(days=1))
    assert verdicts() == {
        "price_snapshots": (True, f"{FRIDAY}: stored"),
        "order_books": (
            False,
            f"{FRIDAY}: was not captured; live data is not available later",
        ),
    }


def test_a_day_off_makes_nothing_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert calendar.session(MONDAY) is None
    at(monkeypatch, MONDAY, 23)
    stored(PRICE_SNAPSHOTS, FRIDAY)
    assert verdicts()["price_snapshots"] == (True, f"{FRIDAY}: stored")


def test_what_is_not_due_yet_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, FRIDAY, 10)
    stored(DAILY_CANDLES, FRIDAY - timedelta(days=1))
    assert verdicts()["daily_candles"][0]


def test_a_table_that_nobody_stores_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, FRIDAY, 23)
    stored(PRICE_SNAPSHOTS, FRIDAY)
    assert set(verdicts()) == {"price_snapshots"}


@pytest.mark.parametrize("name", ["krx", "simulated_krx"])
def test_figures_of_krx_are_judged_where_they_are_stored(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    at(monkeypatch, FRIDAY, 23)
    if name != "krx":
        now = datetime.fromisoformat(os.environ["KIS_REPLAY_AT"])
        set_source("http://127.0.0.1:9", monkeypatch, now)
    of_krx = Lake(lake().folder.with_name(name), source=name)
    record(of_krx, KRX_DAILY, [account({FRIDAY - timedelta(days=1): 5}, {}, {})])
    assert "krx_daily" in verdicts()


def test_no_run_that_makes_a_table_judges_others() -> None:
    made = {job.name: {node.name for node in defs.resolve_job_def(job.name).nodes} for job in JOBS}
    assert {name for name, ops in made.items() if "freshness_checks" in ops} == {"freshness"}

"""The calendar: computed, overridden by KIS's own, which is asked once a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.availability import live_session, refuse_closed
from kis_assets.errors import InvalidRequest, KISError, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server import services
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire import reference
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.mock import MockDataSource
from kis_assets.tables import MARKET_DAYS
from kis_assets_tests.conftest import EVENING, open_source
from kis_assets_tests.support.in_process import check, failure, lake, materialize, point_at, rows

DAY = EVENING.date()
PATH = "chk-holiday"
DECREED = date(2026, 3, 19)
"""A trading day of the computed calendar, which some tests have KIS close."""


class Decreed(ModelMarket):
    """The market with a holiday decreed at short notice, and days that were foreseen closed."""

    opened = frozenset[date]()

    def is_trading_day(self, day: date) -> bool:
        return day in self.opened or (day != DECREED and super().is_trading_day(day))


def decreed(now: datetime = EVENING) -> Simulator:
    return Simulator(Decreed(seed=0, clock=lambda: now), rate_limit=0, token_window=0.0)


# The question


def test_days_past_and_to_come_are_told(source: KISDataSource) -> None:
    first, last = DAY - timedelta(days=9), DAY + timedelta(days=14)
    days = source.tables.market_days(first, last)
    assert [day for day, is_open in days.items() if is_open] == calendar.trading_days(
        first, max(days)
    )
    assert min(days) == first
    assert max(days) >= last


def test_a_span_of_one_page_is_one_request(simulator: Simulator, source: KISDataSource) -> None:
    source.tables.market_days(DAY - timedelta(days=9), DAY + timedelta(days=14))
    assert simulator.calls(PATH) == 1


def test_pages_are_followed_with_the_keys_of_the_answer(
    simulator: Simulator, source: KISDataSource
) -> None:
    """KIOK0500, tr_cont M and padded keys: the next page begins where this one ended."""
    days = source.tables.market_days(DAY, DAY + timedelta(days=60))
    assert simulator.calls(PATH) == 3
    assert sorted(days) == [DAY + timedelta(days=n) for n in range(72)]


def from_its_key(request: Any) -> Any:
    """chk-holiday as a server answers whose next page begins on the last day of this one."""
    given = reference.chk_holiday(request)
    if request["CTX_AREA_NK"]:
        day = request.day("CTX_AREA_NK")
        given.payload["output"].insert(0, reference._calendar_row(request, day))
    return given


@pytest.mark.parametrize("chk_holiday", [reference.chk_holiday, from_its_key])
def test_the_next_page_may_begin_on_the_last_day_of_this_one_or_after_it(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, chk_holiday: Any
) -> None:
    _serve(monkeypatch, chk_holiday)
    days = source.tables.market_days(DAY, DAY + timedelta(days=60))
    assert sorted(days) == [DAY + timedelta(days=n) for n in range(72)]
    assert {day for day, is_open in days.items() if is_open} == set(
        calendar.trading_days(DAY, DAY + timedelta(days=71))
    )


@pytest.mark.parametrize("days_off", [-2, 1])
def test_a_page_that_leaves_a_gap_or_goes_back_is_refused(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, days_off: int
) -> None:
    def answer(request: Any) -> Any:
        given = reference.chk_holiday(request)
        if request["CTX_AREA_NK"]:
            for row in given.payload["output"]:
                shifted = date.fromisoformat(row["bass_dt"]) + timedelta(days=days_off)
                row["bass_dt"] = f"{shifted:%Y%m%d}"
        return given

    _serve(monkeypatch, answer)
    with pytest.raises(UnexpectedAnswer, match="the answer begins on 2026"):
        source.tables.market_days(DAY, DAY + timedelta(days=60))


def test_few_pages_are_followed_however_far_one_asks(
    simulator: Simulator, source: KISDataSource
) -> None:
    source.tables.market_days(DAY, DAY + timedelta(days=300))
    assert simulator.calls(PATH) == 5


def test_saturdays_are_closed_though_tr_day_yn_is_y(source: KISDataSource) -> None:
    saturday = date(2026, 3, 21)
    assert source.tables.market_days(saturday, saturday)[saturday] is False


def test_the_last_day_of_the_year_is_closed_though_banks_are_open(settings: Settings) -> None:
    now = datetime(2026, 12, 30, 20, 50, tzinfo=calendar.SEOUL)
    with _source_at(now, settings) as source:
        assert (
            source.tables.market_days(date(2026, 12, 31), date(2026, 12, 31))[date(2026, 12, 31)]
            is False
        )


def _source_at(now: datetime, settings: Settings) -> KISDataSource:
    market = ModelMarket(seed=0, clock=lambda: now)
    return open_source(
        Simulator(market, rate_limit=0), settings.model_copy(update={"kis_replay_at": now})
    )


def _serve(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    path = f"{services._QUOTATIONS}chk-holiday"
    monkeypatch.setitem(services.SERVICES, path, replace(services.SERVICES[path], answer=answer))


class Pages:
    """Answers of chk-holiday, changed before they are sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
        def answer(request: Any) -> Any:
            given = reference.chk_holiday(request)
            change(given)
            return given

        _serve(monkeypatch, answer)


def test_a_context_key_that_repeats_ends_the_pages(
    simulator: Simulator, source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def change(answer: Any) -> None:
        calls.append(1)
        answer.payload |= {"ctx_area_nk": " " * 20, "ctx_area_fk": " " * 20}

    Pages(monkeypatch, change)
    days = source.tables.market_days(DAY, DAY + timedelta(days=60))
    assert len(days) == 24
    assert len(calls) == 1


@pytest.mark.parametrize("last", ["D", "E", "", " "])
def test_other_marks_than_more_end_the_pages(
    simulator: Simulator, source: KISDataSource, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    Pages(monkeypatch, lambda answer: setattr(answer, "tr_cont", last))
    assert len(source.tables.market_days(DAY, DAY + timedelta(days=60))) == 24
    assert simulator.calls(PATH) == 1


def test_an_empty_page_ends_the_pages(
    simulator: Simulator, source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pages(monkeypatch, lambda answer: answer.payload.update(output=[]))
    assert source.tables.market_days(DAY, DAY) == {}
    assert simulator.calls(PATH) == 1


WRONG = {
    "a flag that is neither Y nor N": lambda row: row.update(opnd_yn="X"),
    "no flag": lambda row: row.pop("opnd_yn"),
    "a blank flag": lambda row: row.update(opnd_yn=" "),
    "a day that is none": lambda row: row.update(bass_dt="20260231"),
    "another day": lambda row: row.update(bass_dt="20250101"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_cannot_be_right_is_named(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    Pages(monkeypatch, lambda answer: WRONG[wrong](answer.payload["output"][0]))
    with pytest.raises(UnexpectedAnswer, match=PATH):
        source.tables.market_days(DAY, DAY)


def test_days_out_of_order_are_named(simulator: Simulator, source: KISDataSource) -> None:
    simulator.faults.rows_out_of_order = True
    with pytest.raises(UnexpectedAnswer, match="not in order"):
        source.tables.market_days(DAY, DAY)


@pytest.mark.parametrize(
    "change",
    [lambda rows: rows.pop(3), lambda rows: rows.insert(3, rows[3])],
    ids=["skipped", "repeated"],
)
def test_a_day_that_is_skipped_or_comes_twice_is_named(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    Pages(monkeypatch, lambda answer: change(answer.payload["output"]))
    with pytest.raises(UnexpectedAnswer, match="not in order"):
        source.tables.market_days(DAY, DAY)


def test_a_page_refused_half_way_fails_the_whole(
    simulator: Simulator, source: KISDataSource
) -> None:
    simulator.faults.refused = When(path=PATH, skip=1)
    with pytest.raises(KISError, match="EGW00201"):
        source.tables.market_days(DAY, DAY + timedelta(days=60))


# The asset


def test_kis_overrides_the_computed_calendar_and_its_hours_stay(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    result = materialize("market_days", "2026")
    assert result.success
    stored = {row["day"]: row for row in rows(MARKET_DAYS).iter_rows(named=True)}
    assert len(stored) == 365
    told = [day for day, row in stored.items() if row["known_from"] == "kis"]
    assert (min(told), max(told)) == (date(2026, 3, 8), date(2026, 3, 31))
    session = calendar.session(DAY)
    assert session is not None
    assert (stored[DAY]["opens_at"], stored[DAY]["closes_at"]) == (
        session.opens_at,
        session.closes_at,
    )
    assert check(result, "kis_agrees_with_calendar").passed


def test_kis_is_asked_once_a_day_whatever_runs(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    for year in ("2026", "2025", "2026", "2026"):
        assert materialize("market_days", year).success
    assert simulator.calls(PATH) == 1
    assert [day for (day, path), _ in simulator.calls_by_day.items() if PATH in path] == [str(DAY)]


def test_kis_is_asked_again_on_another_day_though_it_says_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [EVENING]
    server = Simulator(ModelMarket(seed=0, clock=lambda: now[0]), rate_limit=0)
    for later, calls in ((0, 1), (11, 2), (12, 2)):
        now[0] = EVENING + timedelta(hours=later)
        point_at(server, monkeypatch, now[0])
        assert materialize("market_days", "2026").success
        assert server.calls(PATH) == calls
    assert _asked() == [DAY, DAY + timedelta(days=1)]


def _asked() -> list[date]:
    found = rows(MARKET_DAYS)
    return found.filter(found["asked_at"].is_not_null())["day"].to_list()


def test_what_kis_said_before_stays_when_it_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(decreed(), monkeypatch)
    assert materialize("market_days", "2026").success
    assert materialize("market_days", "2026").success
    stored = rows(MARKET_DAYS).row(by_predicate=pl.col("day") == DECREED, named=True)
    assert (stored["is_open"], stored["known_from"]) == (False, "kis")
    assert stored["opens_at"] is None


def test_a_difference_is_a_warning_that_names_the_days(monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(decreed(), monkeypatch)
    found = check(materialize("market_days", "2026"), "kis_agrees_with_calendar")
    assert not found.passed
    assert found.severity.name == "WARN"
    assert "2026‑03‑19" in str(found.metadata["failing"].value)


def test_a_day_that_kis_has_open_has_ordinary_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    sunday = date(2026, 3, 22)
    monkeypatch.setattr(Decreed, "opened", frozenset([sunday]))
    point_at(decreed(), monkeypatch)
    assert materialize("market_days", "2026").success
    stored = rows(MARKET_DAYS).row(by_predicate=pl.col("day") == sunday, named=True)
    assert stored["is_open"]
    assert stored["opens_at"].astimezone(calendar.SEOUL).hour == 9


def test_the_year_ends_where_the_partition_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 12, 28, 20, 50, tzinfo=calendar.SEOUL)
    server = Simulator(ModelMarket(seed=0, clock=lambda: now), rate_limit=0)
    point_at(server, monkeypatch, now)
    for _ in range(2):
        assert materialize("market_days", "2026").success
    assert server.calls(PATH) == 1
    assert rows(MARKET_DAYS)["day"].max() == date(2026, 12, 31)


def test_a_bad_answer_stores_nothing(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(simulator, monkeypatch)
    simulator.faults.rows_out_of_order = True
    assert "not in order" in failure(materialize("market_days", "2026"))
    assert rows(MARKET_DAYS).is_empty()


def test_on_the_virtual_server_the_computed_calendar_stands(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Simulator(market, environment="virtual", rate_limit=0)
    point_at(server, monkeypatch)
    result = materialize("market_days", "2026")
    assert result.success
    assert server.calls(PATH) == 0
    assert "kis" not in set(rows(MARKET_DAYS)["known_from"])


def test_the_mock_market_has_the_computed_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setattr("kis_assets.defs.resources.create_data_source", MockDataSource)
    assert materialize("market_days", str(calendar.today().year)).success
    assert "kis" not in set(rows(MARKET_DAYS)["known_from"])


# The guard


def test_a_day_that_kis_has_closed_is_refused_like_any_holiday(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = datetime.combine(DECREED, EVENING.timetz())
    point_at(decreed(), monkeypatch)
    live_session(DECREED.isoformat(), at, lake())
    assert materialize("market_days", "2026").success
    with pytest.raises(InvalidRequest, match="2026-03-19 is not a trading day of KRX, as KIS's"):
        live_session(DECREED.isoformat(), at, lake())
    refuse_closed(lake(), DAY)


def test_a_capture_on_such_a_day_asks_for_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(decreed(), monkeypatch)
    assert materialize("market_days", "2026").success
    at = datetime.combine(DECREED, EVENING.timetz())
    server = decreed(at)
    point_at(server, monkeypatch, at)
    assert "not a trading day" in failure(materialize("price_snapshots", DECREED.isoformat()))
    assert server.log == []

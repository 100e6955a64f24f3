"""Many stocks at once for a program: one bad one stops no other, and the figures add up."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from kis_assets.errors import (
    AuthenticationFailed,
    InvalidRequest,
    KISError,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.base import (
    ChartData,
    CurrentPrice,
    DataSource,
    OrderBook,
    PriceType,
)
from kis_assets.sources.batch import Batch
from kis_assets.sources.cached import CachedDataSource, open_store
from kis_assets.sources.kis import KISDataSource
from kis_assets_tests.conftest import APP_KEY, EVENING, OpenAt, open_source, simulator_of

GOOD = ["005930", "000660", "035420", "005380"]
MALFORMED, UNKNOWN = "0059300", "999999"


def batch(source: KISDataSource, what: str, codes: Any, **options: Any) -> Any:
    return getattr(source, f"get_{what}_batch")(codes, **options)


KINDS = {"current_prices": CurrentPrice, "order_books": OrderBook, "chart_data": list}


@pytest.mark.parametrize("what", KINDS)
def test_one_bad_stock_stops_no_other(at: OpenAt, what: str) -> None:
    result = batch(at(EVENING), what, [*GOOD, MALFORMED, UNKNOWN])
    assert sorted(result["success"]) == sorted(GOOD)
    assert {type(record) for record in result["success"].values()} == {KINDS[what]}
    assert {code: type(error) for code, error in result["failed"].items()} == {
        MALFORMED: InvalidRequest,
        UNKNOWN: InvalidRequest,
    }
    stats = result["stats"]
    assert (stats["succeeded"], stats["failed"], stats["total"]) == (4, 2, 6)
    assert stats["duration_seconds"] > 0
    assert stats["stocks_per_second"] == pytest.approx(6 / stats["duration_seconds"])


@pytest.mark.parametrize("what", KINDS)
def test_the_records_are_those_of_asking_one_by_one(at: OpenAt, what: str) -> None:
    source = at(EVENING)
    one = {
        "current_prices": source.get_current_price,
        "order_books": source.get_order_book,
        "chart_data": source.get_chart_data,
    }[what]
    assert batch(source, what, GOOD)["success"] == {code: one(code) for code in GOOD}


@pytest.mark.parametrize("what", KINDS)
def test_progress_counts_every_stock_once(at: OpenAt, what: str) -> None:
    told: list[tuple[int, int, str]] = []
    codes = [*GOOD, MALFORMED, UNKNOWN]
    batch(at(EVENING), what, codes, progress_callback=lambda *args: told.append(args))
    assert [done for done, _, _ in told] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in told} == {6}
    assert sorted(code for _, _, code in told) == sorted(codes)


def test_prices_of_the_real_server_come_thirty_at_a_time(at: OpenAt) -> None:
    source = at(EVENING)
    codes = [stock.code for stock in simulator_of(source).market.stocks(EVENING.date())][:65]
    result = source.get_current_prices_batch(codes)
    assert simulator_of(source).calls("intstock-multprice") == 3
    assert result["stats"]["succeeded"] == 65


@pytest.mark.parametrize("fault", ["bad_number", "missing_required_field"])
def test_stocks_of_a_wrong_answer_about_thirty_are_asked_for_alone(at: OpenAt, fault: str) -> None:
    source = at(EVENING)
    setattr(simulator_of(source).faults, fault, When(calls=1, path="intstock-multprice"))
    result = source.get_current_prices_batch(GOOD)
    assert (result["stats"]["succeeded"], result["failed"]) == (4, {})
    assert simulator_of(source).calls("inquire-price") > 0


def test_prices_of_the_virtual_server_come_one_by_one(at: OpenAt) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    assert source.get_current_prices_batch(GOOD)["stats"]["succeeded"] == 4
    assert simulator_of(source).calls("inquire-price") == 4


def test_charts_take_period_and_count(at: OpenAt) -> None:
    result = at(EVENING).get_chart_data_batch(GOOD, PriceType.MINUTE_30, 14)
    bars = result["success"]["005930"]
    assert len(bars) == 14
    assert isinstance(bars[0], ChartData)


def test_no_more_requests_are_in_flight_than_asked_for() -> None:
    lock, flying, most = threading.Lock(), 0, 0

    def ask(code: str) -> str:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        with lock:
            flying -= 1
        return code

    many = Batch[str]((f"{n:06}" for n in range(300)), "test")
    many.run(ask, 3, lambda: None)
    assert most <= 3
    assert many.result()["stats"]["succeeded"] == 300


def test_records_come_in_the_order_asked_for_whoever_answers_first() -> None:
    many = Batch[str](GOOD, "test")
    for code in reversed(GOOD):
        many.took(code, code)
    assert list(many.result()["success"]) == GOOD


def test_every_hundred_stocks_there_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    many = Batch[str]((f"{n:06}" for n in range(250)), "prices")
    many.run(lambda code: code, 4, lambda: None)
    assert [record.getMessage() for record in caplog.records] == [
        "prices: 100 of 250 stocks",
        "prices: 200 of 250 stocks",
        "prices: 250 of 250 stocks",
    ]


@pytest.mark.parametrize("codes", [[], ["005930", "005930"], [None, 5930.0, "", "삼성전자"]])
def test_odd_lists_are_answered(at: OpenAt, codes: list[Any]) -> None:
    stats = at(EVENING).get_current_prices_batch(codes)["stats"]
    assert stats["total"] == len(set(codes))
    assert stats["succeeded"] == ("005930" in codes)


@pytest.mark.parametrize("code", [5930.5, 5930.0, None, b"005930", True])
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_code_that_is_no_text_is_refused_by_every_question(
    at: OpenAt, settings: Settings, code: Any, is_cached: bool
) -> None:
    source: DataSource = at(EVENING)
    if is_cached:
        source = CachedDataSource(source, open_store(settings), settings)
    for ask in (
        source.get_current_price,
        source.get_order_book,
        source.get_chart_data,
        source.get_stock_info,
    ):
        with pytest.raises(ValueError, match=r'is no stock code: a code is .* such as "005930"'):
            ask(code)


@pytest.mark.parametrize("codes", [5930, "005930", b"005930", None])
@pytest.mark.parametrize("is_cached", [False, True])
def test_one_code_is_no_list(at: OpenAt, settings: Settings, codes: Any, is_cached: bool) -> None:
    source: DataSource = at(EVENING)
    if is_cached:
        source = CachedDataSource(source, open_store(settings), settings)
    for ask in (
        source.get_current_prices_batch,
        source.get_order_books_batch,
        source.get_chart_data_batch,
        source.warm_cache,
        lambda codes: source.tables.daily_candles(codes, EVENING.date(), EVENING.date()),
        lambda codes: source.tables.minute_candles(codes, EVENING.date()),
        source.tables.recent_candles,
        lambda codes: source.tables.adjusted_candles(codes, EVENING.date(), EVENING.date()),
    ):
        with pytest.raises(ValueError, match=r'expected a list of stock codes such as \["0059'):
            ask(codes)


BAD_INPUT: dict[str, type[KISError]] = {
    "bad_number": UnexpectedAnswer,
    "missing_required_field": UnexpectedAnswer,
    "html": ServiceUnavailable,
    "empty": ServiceUnavailable,
}


@pytest.mark.parametrize("fault", BAD_INPUT)
@pytest.mark.parametrize("what", ["order_books", "chart_data"])
def test_what_went_wrong_is_named_for_its_stock(
    at: OpenAt, what: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.transport.fan_out.ROUNDS", 1)
    source = at(EVENING)
    setattr(simulator_of(source).faults, fault, When(calls=1, path="quotations/inquire"))
    result = batch(source, what, GOOD, max_workers=1)
    assert [type(error) for error in result["failed"].values()] == [BAD_INPUT[fault]]
    assert result["stats"]["succeeded"] == 3


def test_a_refused_key_stops_them_all(market: ModelMarket, settings: Settings) -> None:
    strict = Simulator(market, rate_limit=0, app_keys={APP_KEY: "another secret"})
    with open_source(strict, settings) as source, pytest.raises(AuthenticationFailed):
        source.get_order_books_batch([f"{n:06}" for n in range(500)])
    assert len(strict.log) == 1


def test_a_token_that_is_not_issued_is_about_no_stock(
    market: ModelMarket, settings: Settings
) -> None:
    strict = Simulator(market, rate_limit=0, app_keys={APP_KEY: "another secret"})
    with open_source(strict, settings) as source:
        with pytest.raises(AuthenticationFailed, match=r"^tokenP: "):
            source.get_current_price("005930")
        with pytest.raises(AuthenticationFailed, match=r"^tokenP: "):
            source.get_current_prices_batch(["005930"])


def test_names_that_cannot_be_had_lose_no_quote(at: OpenAt) -> None:
    source = at(EVENING)
    simulator_of(source).faults.unavailable = When(path="/common/master/")
    result = source.get_current_prices_batch(GOOD)
    assert result["stats"]["succeeded"] == 4
    assert all(price.stock_name for price in result["success"].values())
    books = source.get_order_books_batch(GOOD)
    assert books["stats"]["succeeded"] == 4
    assert simulator_of(source).calls(".zip") <= 4

"""KISAPIClient and create_client: KIS alone, by key or by environment, or an invented market."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kis_assets.errors import InvalidRequest
from kis_assets.settings import SettingsError
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.base import DataSource
from kis_assets.sources.client import KISAPIClient, PriceType, create_client
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING


@pytest.fixture(autouse=True)
def evening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_REPLAY_AT", EVENING.isoformat())
    monkeypatch.setenv("KIS_API_BASE_URL_REAL", "http://real.test")
    monkeypatch.setenv("KIS_API_BASE_URL_VIRTUAL", "http://virtual.test")
    monkeypatch.setenv("KIS_MASTER_BASE_URL", "http://real.test")


def address(client: KISAPIClient) -> Any:
    return client._settings.base_url


def test_it_is_a_source_with_all_its_methods() -> None:
    with KISAPIClient("", "", use_mock=True) as client:
        assert isinstance(client, DataSource)
        assert client.get_current_price("005930").stock_code == "005930"
        assert client.get_order_book("005930").stock_code == "005930"
        bars = client.get_chart_data("005930", PriceType.DAILY, 30)
        assert [len(bars), bars[0].date] == [30, "20260317"]
        assert client.get_stock_info("005930").market == "KOSPI"
        assert client.get_current_prices_batch(["005930"])["stats"]["succeeded"] == 1


def test_an_invented_market_does_not_depend_on_where_kis_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KIS_API_BASE_URL_REAL", "KIS_MASTER_BASE_URL"):
        monkeypatch.setenv(name, "http://proxy.test/behind/a/path")
    with KISAPIClient(use_mock=True) as client:
        assert client.get_current_price("005930").stock_name == "삼성전자"


@pytest.mark.parametrize("period", ["DAILY", "daily", None])
def test_a_period_that_is_none_says_which_there_are(period: Any) -> None:
    with (
        KISAPIClient(use_mock=True) as client,
        pytest.raises(InvalidRequest, match=r"PriceType\.DAILY"),
    ):
        client.get_chart_data("005930", period)


def test_what_was_warmed_is_answered_without_a_request() -> None:
    with KISAPIClient(use_mock=True) as client:
        warmed = client.client.warm_cache(["005930"], ["price", "chart", "info"])
        assert warmed["price"] == {"succeeded": 1, "failed": 0}
        before = client.tally.summary()["requests"]
        client.get_current_price("005930")
        client.get_chart_data("005930")
        client.get_stock_info("005930")
        assert client.tally.summary()["requests"] == before
        assert client.statistics().hits == 3


def test_another_client_of_the_same_key_finds_what_was_warmed(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(simulator) as url:
        monkeypatch.setenv("KIS_API_BASE_URL_REAL", url)
        monkeypatch.setenv("KIS_MASTER_BASE_URL", url)
        with KISAPIClient(APP_KEY, APP_SECRET, use_virtual=False) as client:
            client.warm_cache(["005930"], ["price"])
        before = len(simulator.log)
        with KISAPIClient(APP_KEY, APP_SECRET, use_virtual=False) as client:
            assert client.get_current_price("005930").stock_name == "삼성전자"
        assert len(simulator.log) == before


def test_an_invented_market_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    with KISAPIClient(use_mock=True) as client:
        client.warm_cache(["005930"], ["price"])
        assert client.get_current_price("005930")
    assert list(tmp_path.iterdir()) == []


def test_it_asks_the_virtual_server_unless_told_otherwise() -> None:
    with KISAPIClient(APP_KEY, APP_SECRET) as client:
        assert address(client) == "http://virtual.test"
    with KISAPIClient(APP_KEY, APP_SECRET, use_virtual=False) as client:
        assert address(client) == "http://real.test"


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_USE_REAL_SERVER", "true")
    monkeypatch.setenv("KIS_APP_KEY", "ANOTHER")
    monkeypatch.setenv("KIS_APP_SECRET", "ANOTHER")
    with KISAPIClient(APP_KEY, APP_SECRET, use_virtual=True) as client:
        assert address(client) == "http://virtual.test"
        assert client._settings.kis_app_key.get_secret_value() == APP_KEY


def test_without_a_key_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="KIS_APP_KEY"):
        KISAPIClient("", "")


def test_the_environment_decides_between_kis_and_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    with create_client() as client:
        assert client.name == "mock"
    monkeypatch.setenv("KIS_APP_KEY", APP_KEY)
    monkeypatch.setenv("KIS_APP_SECRET", APP_SECRET)
    with create_client() as client:
        assert (client.name, address(client)) == ("kis", "http://virtual.test")
    with create_client(use_mock=True) as client:
        assert client.name == "mock"


def test_kis_is_not_replaced_by_a_mock_when_it_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="KIS_APP_KEY"):
        create_client(use_mock=False)


def test_a_client_shows_no_secret() -> None:
    with KISAPIClient(APP_KEY, APP_SECRET) as client:
        assert APP_SECRET not in repr(client) + repr(vars(client))

"""The virtual server: one request a second, half of the services, plain words about the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from kis_assets.errors import AuthenticationFailed, KISError, NotSupported
from kis_assets.exchange import calendar
from kis_assets.kis.client import Client
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.quotes import PRICE
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.record_types import PriceType
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES, PRICE_SNAPSHOTS, STOCK_INFO
from kis_assets_tests.conftest import EVENING, Clock, open_source
from kis_assets_tests.support.in_process import (
    FEW,
    checks,
    endpoints,
    failure,
    materialize,
    point_at,
    rows,
)

pytestmark = pytest.mark.usefixtures("published_when_read")

DAY = EVENING.date()
SAMSUNG = "005930"
REAL_ONLY = [endpoint for endpoint in endpoints() if not endpoint.virtual]


@pytest.fixture
def server(market: ModelMarket) -> Simulator:
    """A virtual server without a rate limit."""
    return Simulator(market, environment="virtual", rate_limit=0, token_window=0.0)


@pytest.fixture
def there(settings: Settings) -> Settings:
    """Settings that point at a virtual server."""
    return settings.model_copy(
        update={"kis_use_virtual_server": True, "kis_api_base_url_virtual": "http://kis.test"}
    )


@pytest.fixture
def virtual(server: Simulator, there: Settings) -> Iterator[KISDataSource]:
    with open_source(server, there) as opened:
        yield opened


# The rate


def test_twenty_prices_at_one_a_second_meet_no_refusal(
    market: ModelMarket,
    there: Settings,
    clock: Clock,
) -> None:
    """The limiter of the server counts in the same time as the client waits in."""
    strict = Simulator(market, environment="virtual", monotonic=clock, token_window=0.0)
    assert strict.rate_limit == 1
    began = clock.now
    with KISDataSource(
        there.model_copy(update={"kis_api_rate_limit": None}),
        transport=InProcessTransport(strict, clock.sleep),
        workers=1,
        clock=clock,
        sleep=clock.sleep,
    ) as source:
        stocks = source.tables.stock_master(DAY)
        twenty = stocks.sort("previous_market_cap", descending=True, nulls_last=True).head(20)
        fetched = source.tables.price_snapshots(twenty, DAY, EVENING)
    assert fetched.rows.height == 20
    assert (fetched.failed, strict.refusals) == ({}, 0)
    assert strict.max_in_any_second() == 1
    assert 20 <= clock.now - began <= 25


# What is there


def test_prices_are_asked_for_one_by_one(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(server, monkeypatch)
    assert materialize("stock_master", DAY.isoformat()).success
    result = materialize("price_snapshots", DAY.isoformat())
    assert result.success
    assert all(checks(result).values())
    assert rows(PRICE_SNAPSHOTS).height == 8
    assert server.calls("/inquire-price") == 8
    assert server.calls("intstock-multprice") == 0


def test_daily_candles_are_those_of_the_real_server(
    server: Simulator, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(server, monkeypatch)
    assert materialize("daily_candles", "2026-03-01").success
    of_virtual = rows(DAILY_CANDLES).drop("fetched_at")
    point_at(simulator, monkeypatch, KIS_DATA_DIR="elsewhere")
    assert materialize("daily_candles", "2026-03-01").success
    assert rows(DAILY_CANDLES).drop("fetched_at").equals(of_virtual)


def test_stock_info_comes_from_the_master_files(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(server, monkeypatch)
    result = materialize("stock_info", "2026-03-01")
    assert result.success
    assert all(checks(result).values())
    stored = rows(STOCK_INFO)
    assert stored["stock_code"].to_list() == sorted(FEW.split(","))
    assert set(stored["known_from"]) == {"master"}
    assert server.calls("search-stock-info") == 0


def test_an_order_book_and_todays_minutes_are_there(virtual: KISDataSource) -> None:
    # In the evening nobody quotes.
    assert virtual.get_order_book(SAMSUNG).bid_levels == ()
    assert len(virtual.get_chart_data(SAMSUNG, PriceType.MINUTE_1, 381)) > 100


def test_actions_are_those_that_the_chart_marks(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(server, monkeypatch)
    result = materialize("corporate_actions", "2026-03-01")
    assert result.success
    assert all(checks(result).values())
    assert rows(CORPORATE_ACTIONS).is_empty()
    assert server.log == []


# What is not there


def test_what_is_missing_is_said_before_a_request(
    server: Simulator, virtual: KISDataSource
) -> None:
    yesterday = calendar.previous_trading_day(DAY)
    for ask in (
        lambda: virtual.tables.market_days(DAY, DAY),
        lambda: virtual.tables.corporate_actions(DAY),
        lambda: virtual.tables.minute_candles([SAMSUNG], yesterday),
    ):
        with pytest.raises(NotSupported, match=r"virtual server .*KIS_USE_VIRTUAL_SERVER=false"):
            ask()
    assert server.log == []


def test_past_minutes_are_refused_by_the_asset(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(server, monkeypatch)
    yesterday = calendar.previous_trading_day(DAY)
    sentence = failure(materialize("minute_candles", yesterday.isoformat()))
    assert "the virtual server has no minutes of past days" in sentence


@pytest.mark.parametrize("endpoint", REAL_ONLY, ids=lambda endpoint: endpoint.name)
def test_the_server_itself_says_so_once(
    server: Simulator, there: Settings, endpoint: Endpoint
) -> None:
    """OPSQ0002: had the list of services been wrong, it would not be asked again and again."""
    believed = replace(endpoint, virtual=True)
    transport = InProcessTransport(server)
    with (
        closing(Client(there, transport=transport, has_quota=False)) as client,
        pytest.raises(NotSupported, match="OPSQ0002"),
    ):
        client.ask(believed, {}, dict)
    assert server.calls(endpoint.path) == 1


def refused(settings: Settings, msg_cd: str, status: int) -> KISError:
    """What a refusal of that code becomes, which is asked for once."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"access_token": "TOKEN", "expires_in": 86400})
        asked.append(request.url.path)
        return httpx.Response(status, json={"rt_cd": "1", "msg_cd": msg_cd, "msg1": "거절."})

    with (
        closing(Client(settings, transport=httpx.MockTransport(answer), has_quota=False)) as client,
        pytest.raises(KISError, match=msg_cd) as caught,
    ):
        client.ask(PRICE, {}, dict)
    assert len(asked) == 1
    return caught.value


@pytest.mark.parametrize("msg_cd", ["OPSQ0002", "EGW00213"])
@pytest.mark.parametrize("status", [200, 500])
def test_no_such_service_is_not_tried_again(there: Settings, msg_cd: str, status: int) -> None:
    assert isinstance(refused(there, msg_cd, status), NotSupported)


@pytest.mark.parametrize("status", [200, 500])
def test_an_invalid_type_of_credential_names_what_may_be_wrong_with_the_key(
    there: Settings, status: int
) -> None:
    """EGW00205 says nothing of the service: the other server has it as little, for this key."""
    error = refused(there, "EGW00205", status)
    assert isinstance(error, AuthenticationFailed)
    assert "거절: the type of the credential is invalid" in str(error)
    assert "KIS_USE_VIRTUAL_SERVER" in str(error)

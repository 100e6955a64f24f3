"""Several app keys: each its own quota, token and breaker, and the work spread over them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from kis_assets.errors import AuthenticationFailed, ServiceUnavailable
from kis_assets.kis.client import Client
from kis_assets.kis.quotes import PRICE
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import Clock

KEYS = {f"PSKEY{number}".ljust(36, "X"): f"SECRET{number}" * 20 for number in range(3)}
SAMSUNG = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}


class Way(httpx.BaseTransport):
    """Notes the key of each request, and may be down for some of them."""

    def __init__(self, simulator: Simulator, clock: Clock) -> None:
        self._inner = InProcessTransport(simulator, clock.sleep)
        self.keys: Counter[str] = Counter()
        self.down: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("appkey", "")
        if key in self.down:
            raise httpx.ConnectError("down", request=request)
        if key:
            self.keys[key] += 1
        return self._inner.handle_request(request)


@pytest.fixture
def known() -> dict[str, str]:
    """Which keys the server knows."""
    return dict(KEYS)


@pytest.fixture
def way(market: ModelMarket, known: dict[str, str], clock: Clock) -> Way:
    return Way(Simulator(market, app_keys=known, monotonic=clock), clock)


@pytest.fixture
def client(settings: Settings, way: Way, clock: Clock) -> Iterator[Client]:
    several = Settings.load(
        **settings.model_dump()
        | {
            "kis_app_key": ",".join(KEYS),
            "kis_app_secret": ",".join(KEYS.values()),
            "kis_api_rate_limit": 18.0,
        }
    )
    opened = Client(several, transport=way, clock=clock, wall_clock=clock, sleep=clock.sleep)
    yield opened
    opened.close()


def ask(client: Client, times: int) -> None:
    for _ in range(times):
        client.ask(PRICE, SAMSUNG, dict)


def test_the_work_is_spread_and_the_rate_multiplied(client: Client, way: Way, clock: Clock) -> None:
    started = clock.now
    ask(client, 540)
    assert 540 / (clock.now - started) >= 0.95 * 54
    assert max(way.keys.values()) <= 1.2 * min(way.keys.values())
    assert len(way.keys) == 3


def test_a_refused_key_stops_alone_and_is_logged(
    client: Client, way: Way, known: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = KEYS
    known[second] = "another secret"
    ask(client, 30)
    assert set(way.keys) == {first, third}
    stopped = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(stopped) == 1
    assert client.accounts.all[1].id in stopped[0].getMessage()
    assert second not in caplog.text


def test_all_keys_refused_is_an_error(client: Client, known: dict[str, str]) -> None:
    known.clear()
    with pytest.raises(AuthenticationFailed, match="EGW00103"):
        ask(client, 1)
    with pytest.raises(AuthenticationFailed):
        ask(client, 1)


def test_a_key_whose_breaker_is_open_is_passed_over(client: Client, way: Way) -> None:
    ask(client, 6)
    ill = next(iter(KEYS))
    way.down = {ill}
    before = way.keys[ill]
    ask(client, 60)
    assert way.keys[ill] == before
    assert client.accounts.all[0].breaker.state() == "OPEN"
    assert client.accounts.all[1].breaker.state() == "CLOSED"
    client.accounts.wait_for_breaker()
    way.down = set(KEYS)
    with pytest.raises(ServiceUnavailable):
        for _ in range(9):
            try:
                ask(client, 1)
            except ServiceUnavailable as error:
                if "breaker" in error.message:
                    raise


def test_each_key_has_its_own_token(client: Client, way: Way, settings: Settings) -> None:
    ask(client, 30)
    assert client.tally.tokens == 3
    assert len(list(settings.state_dir.glob("token-real-*.sealed"))) == 3

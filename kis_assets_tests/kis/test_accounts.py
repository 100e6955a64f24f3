"""Several app keys: each its own quota, token and breaker, and the work spread over them."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from pydantic import SecretStr

from kis_assets.cli.common import quieten
from kis_assets.errors import AuthenticationFailed, InvalidRequest, ServiceUnavailable
from kis_assets.kis.accounts import _Aside
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
        self.simulator = simulator
        self._inner = InProcessTransport(simulator, clock.sleep)
        self.keys: Counter[str] = Counter()
        """Requests by key, without those for tokens."""
        self.tokens: Counter[str] = Counter()
        self.down: set[str] = set()
        self.refused: dict[str, tuple[str, int]] = {}
        """What is answered for a key: message code and HTTP status."""
        self.no_token: dict[str, str] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        key = request.headers.get("appkey", "")
        if key in self.down:
            raise httpx.ConnectError("down", request=request)
        if not key:
            key = json.loads(request.read())["appkey"]
            self.tokens[key] += 1
            if msg_cd := self.no_token.get(key):
                told = {"error_code": msg_cd, "error_description": "잠시 후 다시 시도하세요"}
                return httpx.Response(403, json=told, request=request)
            return self._inner.handle_request(request)
        if key in self.refused:
            msg_cd, status = self.refused[key]
            told = {"rt_cd": "1", "msg_cd": msg_cd, "msg1": "유효하지 않습니다."}
            return httpx.Response(status, json=told, request=request)
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


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]


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
    (stopped,) = warnings(caplog)
    assert client.accounts.all[1].id in stopped
    assert "EGW00105" in stopped
    assert second not in caplog.text


@pytest.mark.usefixtures("narrow_terminal")
def test_a_refused_key_is_named_even_where_commands_are_quiet(
    client: Client, known: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    quieten()
    known[list(KEYS)[1]] = "another secret"
    ask(client, 30)
    (stopped,) = warnings(caplog)
    assert f"app key {client.accounts.all[1].id} is set aside" in stopped


def test_a_key_revoked_in_mid_run_drops_out_and_comes_back_by_itself(
    client: Client,
    way: Way,
    known: dict[str, str],
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    first, second, third = KEYS
    ask(client, 30)
    secret = known.pop(second)
    way.keys.clear()
    started = clock.now
    ask(client, 360)  # every one of them is answered
    assert 360 / (clock.now - started) >= 0.95 * 36
    for _ in range(60):
        clock.now += 30
        ask(client, 1)
    assert 3 <= way.keys[second] <= 6  # it is tried again, and more and more rarely
    known[second] = secret
    clock.now += 3600
    ask(client, 60)
    way.keys.clear()
    ask(client, 360)
    assert min(way.keys[key] for key in (first, second, third)) >= 100
    (stopped,) = warnings(caplog)
    assert client.accounts.all[1].id in stopped
    assert caplog.text.count(f"app key {client.accounts.all[1].id} is accepted again") == 1


@pytest.mark.parametrize(
    ("msg_cd", "status", "hint"),
    [
        ("EGW00103", 403, "at its end"),
        ("EGW02004", 500, "may be of the virtual server"),
        ("EGW00205", 500, "the type of the credential"),
        ("EGW00206", 500, "may be of the virtual server"),
        ("EGW00121", 500, "유효하지"),
        ("EGW00123", 200, "유효하지"),
    ],
)
def test_whatever_a_key_is_refused_for_the_others_take_its_work(
    client: Client,
    way: Way,
    caplog: pytest.LogCaptureFixture,
    msg_cd: str,
    status: int,
    hint: str,
) -> None:
    first, second, third = KEYS
    way.refused[second] = msg_cd, status
    ask(client, 60)
    assert set(way.keys) == {first, third}
    (stopped,) = warnings(caplog)
    assert hint in stopped
    assert msg_cd in stopped


def test_a_key_that_has_to_wait_for_its_token_holds_nobody_up(
    client: Client, way: Way, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program has asked for its token as often as KIS allows."""
    first, second, third = KEYS
    way.no_token[second] = "EGW00133"
    started = clock.now
    ask(client, 60)
    assert clock.now - started < 3
    assert set(way.keys) == {first, third}
    for _ in range(60):
        clock.now += 30
        ask(client, 1)
    assert 3 <= way.tokens[second] <= 6
    (waits,) = warnings(caplog)
    assert client.accounts.all[1].id in waits
    assert "EGW00133" in waits
    way.no_token.clear()
    clock.now += 3600
    ask(client, 60)
    assert way.keys[second] > 0


def test_a_key_whose_request_is_refused_for_another_reason_is_accepted_again(
    client: Client, way: Way, clock: Clock
) -> None:
    second = list(KEYS)[1]
    way.refused[second] = "EGW00121", 500
    ask(client, 30)
    way.refused[second] = "OPSQ2001", 200  # a wrong field: KIS has looked at the request
    clock.now += 3600
    with pytest.raises(InvalidRequest):
        ask(client, 3)
    assert not any(map(client.accounts.is_aside, client.accounts.all))


def test_a_key_alone_waits_for_its_token(client: Client, way: Way, clock: Clock) -> None:
    for key in list(KEYS)[1:]:
        way.refused[key] = "EGW00103", 403
    ask(client, 30)
    way.simulator.tokens.revoke()
    started = clock.now
    ask(client, 1)
    assert 30 < clock.now - started < 62


def test_which_key_asked_is_counted(client: Client, way: Way, known: dict[str, str]) -> None:
    ids = {key: account.id for key, account in zip(KEYS, client.accounts.all, strict=True)}
    second = list(KEYS)[1]
    known.pop(second)
    ask(client, 60)
    asked = {key: number for (_, _, key), number in client.tally.outcomes.items()}
    assert asked == {ids[key]: number for key, number in way.keys.items()}
    assert set(client.tally.tokens) == set(ids.values())


def test_all_keys_refused_is_an_error(client: Client, known: dict[str, str]) -> None:
    known.clear()
    with pytest.raises(AuthenticationFailed, match="EGW00103"):
        ask(client, 1)
    with pytest.raises(AuthenticationFailed):
        ask(client, 1)


def test_the_same_key_twice_that_is_refused_is_an_error_and_no_wait(
    settings: Settings, way: Way, known: dict[str, str], clock: Clock
) -> None:
    """Settings refuse it; whoever makes them without that check has one key."""
    known.clear()
    key, secret = (
        SecretStr(f"{one},{one}") for one in (next(iter(KEYS)), next(iter(KEYS.values())))
    )
    twice = settings.model_copy(update={"kis_app_key": key, "kis_app_secret": secret})
    opened = Client(twice, transport=way, clock=clock, wall_clock=clock, sleep=clock.sleep)
    with closing(opened) as client:
        for _ in range(3):
            with pytest.raises(AuthenticationFailed, match="EGW00103"):
                ask(client, 1)
        client.accounts.wait_for_breaker()


def test_the_last_key_is_tried_again_after_a_minute(
    client: Client, way: Way, known: dict[str, str], clock: Clock
) -> None:
    """A capture that runs for days goes on when the key is valid again."""
    known.clear()
    with pytest.raises(AuthenticationFailed):
        ask(client, 1)
    asked = sum(way.tokens.values())
    with pytest.raises(AuthenticationFailed):
        ask(client, 1)
    assert sum(way.tokens.values()) == asked
    known.update(KEYS)
    clock.now += 62
    client.accounts._aside = {key: _Aside(1e12, 1.0) for key in client.accounts._aside}
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
    assert client.tally.tokens == {account.id: 1 for account in client.accounts.all}
    assert len(list(settings.state_dir.glob("token-real-*.sealed"))) == 3

"""What leaves the process holds no secret, whatever a server says."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.errors import KISError
from kis_assets.kis.client import Client
from kis_assets.kis.quotes import MANY_PRICES, PRICE
from kis_assets.security.redaction import HIDDEN, redact, remember
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire.wire import Refusal
from kis_assets_tests.conftest import APP_KEY, APP_SECRET
from kis_assets_tests.support.in_process import alter

SECRETS = (APP_KEY, APP_SECRET)


def test_a_known_secret_is_hidden_the_longest_first_and_each_of_several() -> None:
    remember("correct-horse,battery-staple", "correct-horse-and-more")
    said = redact("correct-horse-and-more, correct-horse and battery-staple")
    assert said == f"{HIDDEN}, {HIDDEN} and {HIDDEN}"


def test_a_word_that_is_no_secret_stays() -> None:
    remember("key", "")
    assert redact("the key is refused") == "the key is refused"


def test_settings_make_their_secrets_known() -> None:
    Settings.load(
        krx_api_key="canary-of-krx",
        redis_url="redis://:canary-of-redis@127.0.0.1:6379/0",
        kis_failure_webhook_url="https://chat.example/hooks/canary",
    )
    for secret in ("canary-of-krx", "canary-of-redis"):
        assert str(KISError(f"the server says {secret}")) == f"the server says {HIDDEN}"
    assert "hooks" not in redact("https://chat.example/hooks/canary")


class Echo:
    """A server that says again what it was sent: headers in a service, keys in `tokenP`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
        self.simulator = simulator
        self.seen: list[str] = []
        handle = simulator.handle

        def heard(*given: Any, **more: Any) -> Any:
            *_, headers, body = given
            self.seen += [str(value) for value in headers.values()] + [body.decode()]
            return handle(*given, **more)

        monkeypatch.setattr(simulator, "handle", heard)

    def words(self) -> str:
        return " ".join(self.seen)


def typed(url: str, *words: str) -> tuple[int, str]:
    names = ("KIS_API_BASE_URL_REAL", "KIS_MASTER_BASE_URL")
    environment: dict[str, str | None] = dict.fromkeys(names, url)
    environment |= {"KIS_APP_KEY": APP_KEY, "KIS_APP_SECRET": APP_SECRET}
    environment |= {"KIS_USE_REAL_SERVER": "true", "COLUMNS": "2000", "KIS_API_MAX_RETRIES": "0"}
    result = CliRunner().invoke(app, [*words], env=environment)
    return result.exit_code, result.output


def token_of(simulator: Simulator) -> str:
    return next(iter(simulator.tokens._tokens))


@pytest.mark.parametrize("rt_cd", ["0", "1"])
def test_a_server_that_echoes_key_secret_and_token_has_them_printed_nowhere(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    narrow_terminal: None,
    rt_cd: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Echo(monkeypatch, simulator)

    def again(payload: dict[str, Any]) -> None:
        payload |= {"rt_cd": rt_cd, "msg_cd": APP_KEY, "msg1": echo.words()}
        for value in payload.values():
            for row in value if isinstance(value, list) else [value]:
                if isinstance(row, dict):
                    row["inter_kor_isnm"] = row["rprs_mrkt_kor_name"] = echo.words()
                    row["stck_prpr"] = row["stck_prpr"] if rt_cd == "0" else echo.words()

    for endpoint in (PRICE, MANY_PRICES):
        alter(monkeypatch, endpoint, again)
    with serve(simulator) as url:
        said = [typed(url, "quote", "005930", *more)[1] for more in ([], ["--json"])]
        said.append(typed(url, "doctor")[1])
        token = token_of(simulator)
    assert token in echo.words(), "the server had something to echo"
    for secret in (*SECRETS, token):
        assert secret not in "".join(said)
        assert secret not in caplog.text
    stored = [path for path in Path("data").rglob("*") if path.is_file()]
    assert stored
    assert not [path for path in stored if token.encode() in path.read_bytes()]
    assert not [path for path in stored if APP_SECRET.encode() in path.read_bytes()]


def test_a_refused_token_request_echoes_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, narrow_terminal: None
) -> None:
    def refuse(*given: Any) -> Any:
        raise Refusal("1", "EGW00103", f"unknown: {given[-1].decode()}", 403)

    monkeypatch.setattr("kis_assets.simulator.server.server.grant", refuse)
    with serve(simulator) as url:
        status, said = typed(url, "quote", "005930")
    assert status == 1
    assert "unknown" in said
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize("cut", [slice(0, 61), slice(20, 40), slice(-15, None), slice(3, 15)])
def test_a_part_of_a_secret_is_hidden_too(cut: slice) -> None:
    remember(APP_SECRET)
    part = "".join(f"{number:x}" for number in range(40))  # no secret
    assert APP_SECRET[cut] not in str(KISError(f"it is {APP_SECRET[cut]!r}, {part}"))
    assert part in redact(f"{APP_SECRET[cut]} {part}")


@pytest.mark.parametrize("safe", ["", "/"])
@pytest.mark.parametrize("cut", [slice(None), slice(0, 25), slice(11, 37), slice(-20, None)])
def test_a_secret_in_an_address_is_hidden_with_its_escapes(safe: str, cut: slice) -> None:
    secret = "canary/of+an==address/0123456789=="
    remember(secret)
    told = redact(f"GET /token?appsecret={quote(secret, safe=safe)[cut]}&x=1")
    assert told == f"GET /token?appsecret={HIDDEN}&x=1"


def test_words_of_a_server_steer_no_terminal() -> None:
    assert str(KISError("\x1b]0;PWN\x07", msg_cd="\x1b[2J")) == r"\x1b]0;PWN\x07 (\x1b[2J)"


@pytest.mark.parametrize("escaped", ["\\/", "\\u002f"])
def test_an_echo_in_escapes_is_stored_nowhere(
    settings: Settings, market: ModelMarket, escaped: str
) -> None:
    secret = "SECRET/CANARY/" * 12
    settings = settings.model_copy(update={"kis_app_secret": SecretStr(secret)})

    def answer(request: httpx.Request) -> httpx.Response:
        if "tokenP" in str(request.url):
            return httpx.Response(200, json={"access_token": "a" * 40, "expires_in": 86400})
        text = json.dumps({"rt_cd": "0", "output": {"name": secret}}).replace("/", escaped)
        return httpx.Response(200, content=text.encode())

    with closing(Client(settings, transport=httpx.MockTransport(answer))) as client:
        found = client.ask(PRICE, {}, lambda body: body["output"]["name"])
    assert found == HIDDEN

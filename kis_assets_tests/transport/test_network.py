"""Proxies and certificates of the environment: what cannot be used is named by its variable."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from kis_assets.errors import ServiceUnavailable
from kis_assets.kis.stream import Stream
from kis_assets.krx.client import KRXClient
from kis_assets.settings import Settings, SettingsError
from kis_assets.sources.factory import create_data_source
from kis_assets.transport import network
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

pytestmark = pytest.mark.usefixtures("narrow_terminal", "unproxied")

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "socks_proxy")


@pytest.fixture
def unproxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without proxies and with the usual certificates."""
    for name in (*NAMES, *map(str.upper, NAMES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kis(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of servers that nobody is to reach."""
    given = {
        "DATA_SOURCE_TYPE": "kis",
        "KIS_APP_KEY": APP_KEY,
        "KIS_APP_SECRET": APP_SECRET,
        "KIS_USE_VIRTUAL_SERVER": "false",
        "KIS_API_BASE_URL_REAL": "http://kis.test",
        "KIS_MASTER_BASE_URL": "http://kis.test",
        "KIS_WS_URL_REAL": "ws://kis.test",
        "KIS_API_MAX_RETRIES": "0",
        "KRX_API_KEY": "key",
        "KRX_API_BASE_URL": "http://krx.test",
        "KIS_REPLAY_AT": "2026-03-17T20:50+09:00",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


UNUSABLE = {
    "socks5://me:PASSWORD@proxy:1080": "names a SOCKS proxy, which needs another package",
    "ftp://me:PASSWORD@proxy": "is not a proxy address",
    "http://me:PASSWORD@proxy:port": "is not a proxy address",
    "http://": "is not a proxy address",
    "proxy:99999": "is not a proxy address",
    "http://[::1": "is not a proxy address",
}


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_an_unusable_proxy_is_named_by_its_variable_without_its_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        network.client()
    assert str(caught.value).startswith(f"{variable} {UNUSABLE[value]}")
    assert "PASSWORD" not in str(caught.value)


def test_a_proxy_that_can_be_used_or_is_not_asked_is_no_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:PASSWORD@proxy:8080")
    monkeypatch.setenv("HTTP_PROXY", "proxy:8080")
    network.client().close()
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy")
    monkeypatch.setenv("NO_PROXY", "*")
    network.client().close()


CERTIFICATES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no file": ("SSL_CERT_FILE", lambda _: None),
    "garbage": ("SSL_CERT_FILE", lambda path: path.write_text("no certificate")),
    "a folder": ("SSL_CERT_FILE", lambda path: path.mkdir()),
    "no folder": ("SSL_CERT_DIR", lambda _: None),
    "a file": ("SSL_CERT_DIR", lambda path: path.touch()),
}


@pytest.mark.parametrize(("variable", "make"), CERTIFICATES.values(), ids=CERTIFICATES)
def test_certificates_that_cannot_be_read_are_named_by_their_variable(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kis: Settings,
    variable: str,
    make: Callable[[Path], object],
) -> None:
    make(tmp_path / "there")
    monkeypatch.setenv(variable, str(tmp_path / "there"))
    assert variable in Said("quote", "005930").error


def test_every_way_to_a_server_names_an_unusable_proxy(
    monkeypatch: pytest.MonkeyPatch, kis: Settings
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:PASSWORD@proxy:1080")
    for ask in (
        lambda: create_data_source(settings=kis).tables.stock_master(date(2026, 3, 17)),
        lambda: KRXClient(kis),
        lambda: Stream(kis, ["005930"]),
    ):
        with pytest.raises(SettingsError, match="ALL_PROXY names a SOCKS proxy"):
            ask()
    for words in (
        ("quote", "005930"),
        ("book", "005930"),
        ("stream", "005930"),
        ("info", "005930"),
    ):
        assert "ALL_PROXY names a SOCKS proxy" in Said(*words).error
    seen = {line["what"]: line["seen"] for line in Said("doctor", "--json").json}
    assert "ALL_PROXY names" in seen["clock"]
    assert "ALL_PROXY names" in seen["call"]


def test_the_feed_has_proxies_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    network.check_feed("ws://kis.test")
    monkeypatch.setenv("SOCKS_PROXY", "socks5://me:PASSWORD@proxy:1080")
    with pytest.raises(SettingsError, match="SOCKS_PROXY names a SOCKS proxy"):
        network.check_feed("ws://kis.test")
    monkeypatch.setenv("NO_PROXY", "kis.test")
    network.check_feed("ws://kis.test")


def test_a_proxy_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, kis: Settings
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://me:PASSWORD@127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("http_proxy", dead)
    with pytest.raises(ServiceUnavailable, match="is the proxy of http_proxy right") as caught:
        create_data_source(settings=kis).get_current_price("005930")
    assert "PASSWORD" not in str(caught.value)
    (line,) = [it for it in Said("doctor", "--json").json if it["what"] == "clock"]
    assert "is the proxy of http_proxy right" in line["seen"]
    assert "PASSWORD" not in str(line)
    assert "http_proxy" in network.hint("ws://kis.test", ConnectionRefusedError())


def test_a_certificate_that_is_not_trusted_says_whose_list_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "is a proxy in between" in network.hint("https://kis.test", error)
    monkeypatch.setenv("SSL_CERT_DIR", "/there")
    assert "are those of SSL_CERT_DIR right" in network.hint("https://kis.test", error)

"""The token where it lies: sealed for one app secret and the one address that issued it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from kis_assets.errors import AuthenticationFailed, ServiceUnavailable
from kis_assets.kis.client import Client
from kis_assets.kis.sealing import Seal
from kis_assets.monitoring.exposure import exposed
from kis_assets.monitoring.status import snapshot
from kis_assets.settings import Credential, Settings
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.state.redis import PREFIX, Redis
from kis_assets_tests.conftest import APP_KEY, Clock
from kis_assets_tests.kis.test_token import BARE, NOON, SEAL, Server, opened

Kept = Callable[[], dict[str, bytes]]
"""What lies about the token where processes share it, by its name."""


@pytest.fixture(params=["file", "redis"])
def shared(
    request: pytest.FixtureRequest, settings: Settings
) -> tuple[Settings, Kept, Callable[[str, str], None]]:
    """Settings that share in a file or on Redis; what lies there, and a way to put what did."""
    if request.param == "file":

        def in_files() -> dict[str, bytes]:
            found = settings.state_dir.glob("token-*")
            return {path.name: path.read_bytes() for path in found if path.suffix != ".lock"}

        def put_file(account: str, text: str) -> None:
            settings.state_dir.mkdir(parents=True)
            (settings.state_dir / f"token-{account}.json").write_text(text)

        return settings, in_files, put_file
    url = SecretStr(request.getfixturevalue("redis_url"))
    client = Redis(url).client

    def on_redis() -> dict[str, bytes]:
        return {key.decode(): client.get(key) for key in client.keys(f"{PREFIX}token:*")}

    def put_key(account: str, text: str) -> None:
        client.set(f"{PREFIX}token:{account}", text)

    return settings.model_copy(update={"redis_url": url}), on_redis, put_key


def token(settings: Settings, server: Simulator | httpx.MockTransport) -> str:
    """The token that a new process uses."""
    transport = InProcessTransport(server) if isinstance(server, Simulator) else server
    client = Client(settings, transport=transport)
    try:
        return client.accounts.all[0].tokens.get()
    finally:
        client.close()


def test_neither_token_nor_times_can_be_read_where_they_lie(
    shared: tuple[Settings, Kept, Any], simulator: Simulator
) -> None:
    settings, kept, _ = shared
    secret = token(settings, simulator)
    (content,) = kept().values()
    for word in (secret, APP_KEY, "access_token", "asked_at"):
        assert word.encode() not in content
    assert token(settings, simulator) == secret
    assert simulator.tokens_issued == 1


def test_a_token_goes_to_no_other_address_than_the_one_that_issued_it(
    shared: tuple[Settings, Kept, Any], simulator: Simulator
) -> None:
    """Real server and simulator side by side: each keeps its own, and asks once."""
    real, _, _ = shared
    beside = real.model_copy(update={"kis_api_base_url_real": "http://127.0.0.1:8000"})
    other = Simulator(simulator.market, rate_limit=0)
    tokens = [token(*it) for it in ((real, simulator), (beside, other)) * 2]
    assert tokens[0] == tokens[2] != tokens[1] == tokens[3]
    assert (simulator.tokens_issued, other.tokens_issued) == (1, 1)


def test_the_state_shown_is_that_of_the_address_in_use(
    shared: tuple[Settings, Kept, Any], simulator: Simulator
) -> None:
    settings, _, _ = shared
    token(settings, simulator)

    def expiry(settings: Settings) -> object:
        return snapshot(settings)["accounts"][settings.credentials[0].id]["token_expires_at"]

    assert expiry(settings) is not None
    beside = settings.model_copy(update={"kis_api_base_url_real": "http://127.0.0.1:8000"})
    assert expiry(beside) is None


def test_a_token_that_lies_bare_is_not_used_and_goes(
    shared: tuple[Settings, Kept, Callable[[str, str], None]], simulator: Simulator
) -> None:
    settings, kept, put = shared
    put(f"real-{settings.credentials[0].id}", BARE)
    assert token(settings, simulator) != "bare"
    assert b"bare" not in b"".join(kept().values())
    assert len(kept()) == 1


def test_what_earlier_versions_left_aside_goes_once_it_is_left(tmp_path: Path) -> None:
    left, new, other = (tmp_path / f"token-real-0.{end}" for end in ("123", "456", "bak"))
    for path in (left, new, other):
        path.write_text(BARE)
    os.utime(left, (time.time() - 61,) * 2)
    opened(tmp_path, Server(wall := Clock(NOON)), wall).get()
    assert (left.exists(), new.exists(), other.exists()) == (False, True, True)


def test_another_secret_opens_nothing_and_takes_nothing_away(
    shared: tuple[Settings, Kept, Any], simulator: Simulator
) -> None:
    """Old and new secret of a key at once: one is refused once, the other keeps its token."""
    settings, _, _ = shared
    rotated = settings.model_copy(update={"kis_app_secret": SecretStr("OTHER" * 36)})
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(403, json={"error_code": "EGW00105", "error_description": "no"})

    before = token(settings, simulator)
    with pytest.raises(AuthenticationFailed):
        token(rotated, httpx.MockTransport(refuse))
    assert len(asked) == 1
    assert token(settings, simulator) == before
    assert simulator.tokens_issued == 1


@pytest.mark.parametrize(
    ("address", "is_same"),
    [
        ("https://KIS.test:9443/", True),
        ("https://kis.test:9443/path", True),
        ("http://kis.test:9443", False),
        ("https://kis.test", False),
        ("https://kis.test.evil:9443", False),
    ],
)
def test_scheme_host_and_port_make_an_address(address: str, is_same: bool) -> None:
    other = Seal(Credential(SecretStr("key"), SecretStr("secret")), address)
    assert (other.name == SEAL.name) is is_same
    assert other.open(SEAL.close(b"token")) == (b"token" if is_same else b"")


def test_a_seal_is_of_one_key_and_one_secret() -> None:
    for pair in (("other", "secret"), ("key", "other")):
        other = Seal(Credential(*map(SecretStr, pair)), "https://kis.test:9443")
        assert other.name != SEAL.name
        assert other.open(SEAL.close(b"token")) == b""


def test_one_byte_that_was_changed_makes_it_none() -> None:
    sealed = bytearray(SEAL.close(b"token"))
    for place in range(len(sealed)):
        changed = sealed.copy()
        changed[place] ^= 1
        assert SEAL.open(bytes(changed)) == b"", place


# The files


def test_a_link_where_the_token_is_written_is_never_followed(tmp_path: Path) -> None:
    """Another user foresaw the name and read the token."""
    theirs = tmp_path / "theirs"
    theirs.touch()
    folder = tmp_path / "state"
    folder.mkdir()
    for end in (str(os.getpid()), "sealed.new", "new"):
        (folder / f"token-real-0.{end}").symlink_to(theirs)
    opened(folder, Server(wall := Clock(NOON)), wall).get()
    assert theirs.read_bytes() == b""


@pytest.mark.parametrize("name", ["token-real-0.sealed", "token-real-0.lock"])
def test_a_link_in_the_place_of_a_file_of_the_token_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "theirs")
    with pytest.raises(ServiceUnavailable, match=f"{name} is a link, no file: move it away"):
        opened(tmp_path, Server(wall := Clock(NOON)), wall).get()
    assert not (tmp_path / "theirs").exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    name = "token-real-0.sealed"
    left, at_work, another = (
        tmp_path / f"{name}.{end}" for end in (f"{1:016x}.new", f"{2:016x}.new", "mine.new")
    )
    for path in (left, at_work, another):
        path.touch()
    for path in (left, another):
        os.utime(path, (time.time() - 61,) * 2)
    opened(tmp_path, Server(wall := Clock(NOON)), wall).get()
    assert (left.exists(), at_work.exists(), another.exists()) == (False, True, True)


def test_modes_of_what_is_ours_are_put_right(settings: Settings, simulator: Simulator) -> None:
    token(settings, simulator)
    snapshot(settings)
    files = list(settings.state_dir.iterdir())
    assert {"shared.sqlite", "cache.sqlite"} <= {path.name for path in files}
    for path in (settings.state_dir, *files):
        path.chmod(0o777)
    Client(settings, transport=InProcessTransport(simulator)).close()
    token(settings, simulator)
    again = settings.model_copy()
    snapshot(again)
    assert stat.S_IMODE(settings.state_dir.stat().st_mode) == 0o700
    for path in settings.state_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


# What can be read on the way


@pytest.mark.parametrize(
    ("url", "is_exposed"),
    [
        ("redis://:hunter2@cache.example:6379/0", True),
        ("redis://10.0.0.7", True),
        ("rediss://:hunter2@cache.example:6379/0", False),
        ("redis://127.0.0.5:6379", False),
        ("redis://localhost", False),
        ("redis://[::1]:6379", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_a_redis_that_is_far_and_not_encrypted_is_told_of(
    settings: Settings, url: str, is_exposed: bool
) -> None:
    told = exposed(settings.model_copy(update={"redis_url": SecretStr(url)}))
    assert bool(told) is is_exposed
    assert all("rediss://" in it and "hunter2" not in it for it in told)

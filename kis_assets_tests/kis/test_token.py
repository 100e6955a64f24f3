"""The token: one for all processes, never asked for twice a minute, read as KST."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kis_assets.errors import AuthenticationFailed, RateLimited, ServiceUnavailable
from kis_assets.kis.sealing import Seal
from kis_assets.kis.token import TokenStore, read_answer
from kis_assets.settings import Credential
from kis_assets.state.vault import FileVault
from kis_assets_tests.conftest import Clock

NOON = datetime(2026, 3, 17, 3, 0, tzinfo=UTC).timestamp()  # 12:00 in Seoul


class Server:
    """Issues tokens and remembers when."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[float] = []
        self.fails: list[Exception] = []
        self.interval = 0.0
        self.last = 0.0
        self.counts_refused = False

    def __call__(self) -> dict[str, Any]:
        self.asked.append(self.clock.now)
        is_early = 0 <= self.clock.now - self.last < self.interval
        if not is_early or self.counts_refused:
            self.last = self.clock.now
        if is_early:
            raise RateLimited("too soon", msg_cd="EGW00133")
        if self.fails:
            raise self.fails.pop(0)
        return {"access_token": f"token {len(self.asked)}", "expires_in": 86400}


PAIR = Credential(SecretStr("key"), SecretStr("secret"))
BARE = '{"access_token": "bare", "expires_at": 1e10, "asked_at": 1e9, "failure": "", "refused": 0}'
"""As earlier versions wrote it."""


SEAL = Seal(PAIR, "https://kis.test:9443")


def opened(
    folder: Path, issue: Callable[[], dict[str, Any]], wall: Clock, seal: Seal = SEAL
) -> TokenStore:
    """The store of a process."""
    vault = FileVault(folder / "token-real-0.sealed")
    return TokenStore(vault, seal, issue, clock=wall, sleep=wall.sleep)


@pytest.fixture
def wall() -> Clock:
    return Clock(NOON)


@pytest.fixture
def server(wall: Clock) -> Server:
    return Server(wall)


@pytest.fixture
def store(tmp_path: Path, wall: Clock, server: Server) -> Callable[[], TokenStore]:
    return lambda: opened(tmp_path, server, wall)


def test_the_written_expiry_is_read_as_kst() -> None:
    answer = {"access_token": "t", "access_token_token_expired": "2026-03-17 18:00:00"}
    assert read_answer(answer, NOON).expires_at == NOON + 6 * 3600


def test_the_earlier_of_both_expiries_counts() -> None:
    answer = {
        "access_token": "t",
        "expires_in": 86400,
        "access_token_token_expired": "2026-03-17 13:00:00",
    }
    assert read_answer(answer, NOON).expires_at == NOON + 3600


def test_an_expiry_of_another_clock_is_left_alone() -> None:
    answer = {
        "access_token": "t",
        "expires_in": 86400,
        "access_token_token_expired": "2025-01-01 00:00:00",
    }
    assert read_answer(answer, NOON).expires_at == NOON + 86400


def test_all_processes_use_one_token(store: Callable[[], TokenStore], server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: store().get(), range(16)))
    assert tokens == {"token 1"}
    assert len(server.asked) == 1


def test_it_is_renewed_five_minutes_before_its_end(
    store: Callable[[], TokenStore], wall: Clock
) -> None:
    opened = store()
    assert opened.get() == "token 1"
    wall.now += 86400 - 301
    assert opened.get() == "token 1"
    wall.now += 2
    assert opened.get() == "token 2"


def test_a_dead_token_is_replaced_once(
    store: Callable[[], TokenStore], server: Server, wall: Clock
) -> None:
    one, other = store(), store()
    dead = one.get()
    other.get()
    wall.now += 3600
    assert one.replace(dead) == "token 2"
    assert other.replace(dead) == "token 2"
    assert len(server.asked) == 2


def test_two_deaths_within_a_minute_wait_the_minute_out(
    store: Callable[[], TokenStore], server: Server
) -> None:
    opened = store()
    opened.replace(opened.get())
    opened.replace("token 2")
    assert all(
        later - sooner >= 60 for sooner, later in zip(server.asked, server.asked[1:], strict=False)
    )


def test_somebody_elses_request_within_the_minute_is_waited_out(
    store: Callable[[], TokenStore], server: Server
) -> None:
    server.fails = [RateLimited("once a minute", msg_cd="EGW00133")]
    assert store().get() == "token 2"
    assert server.asked[1] - server.asked[0] >= 60


@pytest.mark.parametrize("counts_refused", [False, True])
@pytest.mark.parametrize("interval", [1, 60, 300])
def test_a_token_comes_whatever_the_interval_of_issues(
    store: Callable[[], TokenStore], server: Server, interval: int, counts_refused: bool
) -> None:
    """KIS states a second, a minute and five; whether a refused request counts it does not say."""
    server.interval, server.counts_refused = interval, counts_refused
    server.last = server.clock.now  # somebody else's
    token = store().get()
    assert token == f"token {len(server.asked)}"
    assert len(server.asked) <= 3
    assert server.clock.now - NOON <= 61 + 305


def test_who_comes_while_kis_goes_on_refusing_is_told_at_once(
    store: Callable[[], TokenStore], server: Server, wall: Clock
) -> None:
    server.fails = [RateLimited("not yet", msg_cd="EGW00133") for _ in range(3)]
    with pytest.raises(RateLimited, match="not yet"):
        store().get()
    assert [later - sooner for sooner, later in itertools.pairwise(server.asked)] == [61, 305]
    with pytest.raises(RateLimited, match="not yet; the next try is in 305 s"):
        store().get()
    assert len(server.asked) == 3
    wall.now += 306
    assert store().get() == "token 4"


def test_a_wrong_secret_is_asked_for_once_however_many_want_it(
    store: Callable[[], TokenStore], server: Server
) -> None:
    server.fails = [AuthenticationFailed("wrong secret") for _ in range(9)]
    opened = store()
    for _ in range(3):
        with pytest.raises(AuthenticationFailed):
            opened.get()
    assert len(server.asked) == 1


def test_a_corrected_secret_need_not_wait(tmp_path: Path, server: Server, wall: Clock) -> None:
    server.fails = [AuthenticationFailed("wrong secret")]
    with pytest.raises(AuthenticationFailed):
        opened(tmp_path, server, wall).get()
    corrected = Seal(Credential(PAIR.app_key, SecretStr("corrected")), "https://kis.test:9443")
    vault = FileVault(tmp_path / "token-real-1.sealed")
    store = TokenStore(vault, corrected, server, clock=wall, sleep=wall.sleep)
    assert store.get() == "token 2"
    assert wall.slept == []


def test_a_refused_pair_is_asked_for_again_after_a_minute_at_the_earliest(
    store: Callable[[], TokenStore], server: Server, wall: Clock
) -> None:
    server.fails = [AuthenticationFailed("wrong secret")]
    with pytest.raises(AuthenticationFailed):
        store().get()
    with pytest.raises(AuthenticationFailed, match="wrong secret; the next try is in 61 s"):
        store().get()
    assert len(server.asked) == 1
    wall.now += 61
    assert store().get() == "token 2"
    assert wall.slept == []


def test_a_failed_request_is_not_repeated_within_the_minute(
    store: Callable[[], TokenStore], server: Server, wall: Clock
) -> None:
    """The server may have counted it; the others are told what happened instead of waiting."""
    server.fails = [ServiceUnavailable("broke off")]
    with pytest.raises(ServiceUnavailable, match="broke off"):
        store().get()
    with pytest.raises(ServiceUnavailable, match="broke off; the next try is in 61 s"):
        store().get()
    assert len(server.asked) == 1
    wall.now += 62
    assert store().get() == "token 2"


def test_a_request_that_never_left_may_be_repeated(
    store: Callable[[], TokenStore], server: Server
) -> None:
    server.fails = [ServiceUnavailable("refused", never_sent=True)]
    with pytest.raises(ServiceUnavailable):
        store().get()
    assert store().get() == "token 2"


@pytest.mark.parametrize("content", ["", "{", BARE, "\x00\xff", "gAAAAABn" * 20])
def test_a_corrupt_file_costs_one_token(
    store: Callable[[], TokenStore], tmp_path: Path, content: str
) -> None:
    (tmp_path / "token-real-0.sealed").write_text(content)
    assert store().get() == "token 1"


def test_a_clock_set_back_does_not_keep_a_token_for_ever(
    store: Callable[[], TokenStore], wall: Clock
) -> None:
    assert store().get() == "token 1"
    wall.now -= 365 * 86400
    assert store().get() == "token 2"


def test_the_file_is_for_its_owner_alone_and_no_other_is_left(
    store: Callable[[], TokenStore], tmp_path: Path
) -> None:
    opened = store()
    opened.get()
    found = sorted(path.name for path in tmp_path.iterdir())
    assert set(found) <= {"token-real-0.sealed", "token-real-0.lock"}
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert "token 1" not in repr(opened.__dict__["_held"])

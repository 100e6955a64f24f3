"""KIS for a program or a notebook without a settings file: source and cache in one.

with KISAPIClient(app_key, app_secret, use_virtual=False) as client:
    client.get_chart_data("005930", PriceType.MINUTE_5, 30)
"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from kis_assets.monitoring import exposure
from kis_assets.settings import Settings
from kis_assets.sources.cached import CachedDataSource, open_store
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.mock import MockDataSource
from kis_assets.sources.record_types import PriceType

__all__ = ["KISAPIClient", "PriceType", "create_client"]

log = logging.getLogger(__name__)


class KISAPIClient(CachedDataSource):
    """KIS's real or virtual server, or an invented market, with the cache in front.

    Args:
        app_key: the app key; unused with `use_mock`.
        app_secret: its secret.
        use_virtual: use the virtual server, which lacks many services; see README.
        use_mock: send no request, but use an invented market in this process, always the same.

    Raises:
        SettingsError: key or secret is missing, or a variable of the environment is wrong.
    """

    def __init__(
        self,
        app_key: str = "",
        app_secret: str = "",
        use_virtual: bool = True,
        use_mock: bool = False,
    ) -> None:
        self._folder: TemporaryDirectory[str] | None = None
        if use_mock:
            self._folder = TemporaryDirectory(prefix="kis-assets-mock-")
            alone = {"kis_data_dir": Path(self._folder.name), "redis_url": None}
            settings = Settings.load(data_source_type="mock").model_copy(update=alone)
            super().__init__(MockDataSource(settings), open_store(settings), settings)
        else:
            settings = Settings.load(
                data_source_type="kis",
                kis_app_key=app_key,
                kis_app_secret=app_secret,
                kis_use_virtual_server=use_virtual,
                kis_use_real_server=not use_virtual,
            )
            exposure.warn(settings)
            store = open_store(settings)
            super().__init__(KISDataSource(settings, store=store), store, settings)

    def close(self) -> None:
        """Close connections and files."""
        super().close()
        if self._folder is not None:
            self._folder.cleanup()


def create_client(use_mock: bool | None = None) -> KISAPIClient:
    """A client from the environment and `.env`: KIS if credentials are set, else mock.

    Args:
        use_mock: True or False overrides the settings.

    Raises:
        SettingsError: KIS is requested without credentials, or a variable is wrong.
    """
    wanted = None if use_mock is None else "mock" if use_mock else "kis"
    settings = Settings.load(data_source_type=wanted)
    log.info("KIS client: %s (%s)", settings.source_type, settings.source_reason)
    return KISAPIClient(
        settings.kis_app_key.get_secret_value(),
        settings.kis_app_secret.get_secret_value(),
        use_virtual=settings.environment == "virtual",
        use_mock=settings.source_type == "mock",
    )

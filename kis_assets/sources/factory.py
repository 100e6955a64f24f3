"""Creates the source in use. The import of this module loads no source."""

from __future__ import annotations

import logging
from enum import Enum

from kis_assets.monitoring import exposure
from kis_assets.settings import Settings
from kis_assets.sources.base import DataSource

log = logging.getLogger(__name__)


class DataSourceType(Enum):
    """The available sources."""

    KIS = "kis"
    KRX = "krx"
    MOCK = "mock"


def create_data_source(
    source_type: DataSourceType | str | None = None, settings: Settings | None = None
) -> DataSource:
    """The given source, else that of `DATA_SOURCE_TYPE`, else KIS with credentials, else mock.

    Args:
        source_type: kis, krx or mock, instead of what the settings say.
        settings: those to take; the environment's and `.env`'s when None.

    Raises:
        SettingsError: these settings do not allow the source; the message says why.
    """
    if isinstance(source_type, DataSourceType):
        source_type = source_type.value
    if settings is None:
        settings = Settings.load(data_source_type=source_type or None)
    elif source_type:
        settings = settings.with_source(source_type)
    log.info("data source: %s (%s)", settings.source_type, settings.source_reason)
    if settings.source_type != "mock":
        exposure.warn(settings)
    if settings.source_type == "kis":
        from kis_assets.sources.cached import CachedDataSource, open_store
        from kis_assets.sources.kis import KISDataSource

        store = open_store(settings)
        return CachedDataSource(KISDataSource(settings, store=store), store, settings)
    if settings.source_type == "mock":
        from kis_assets.sources.mock import MockDataSource

        return MockDataSource(settings)
    from kis_assets.sources.cached import CachedDataSource, open_store
    from kis_assets.sources.krx import KRXDataSource

    return CachedDataSource(KRXDataSource(settings), open_store(settings), settings)

"""Korean stock market data one can trust: KIS Open API as Dagster assets.

The names for programs are available here. Each is loaded at its first use, not with the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kis_assets.errors import (
        AuthenticationFailed,
        InvalidRequest,
        KISError,
        NotSupported,
        RateLimited,
        ServiceUnavailable,
        SessionInUse,
        UnexpectedAnswer,
    )
    from kis_assets.lake.reader import NotStored
    from kis_assets.market import Market
    from kis_assets.sources.client import KISAPIClient, PriceType
    from kis_assets.sources.factory import create_data_source

__version__ = "0.1.0"

__all__ = [
    "AuthenticationFailed",
    "InvalidRequest",
    "KISAPIClient",
    "KISError",
    "Market",
    "NotStored",
    "NotSupported",
    "PriceType",
    "RateLimited",
    "ServiceUnavailable",
    "SessionInUse",
    "UnexpectedAnswer",
    "create_data_source",
]

_MODULES = {
    "NotStored": "lake.reader",
    "Market": "market",
    "KISAPIClient": "sources.client",
    "PriceType": "sources.client",
    "create_data_source": "sources.factory",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)

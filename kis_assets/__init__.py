"""Korean stock market data one can trust: KIS Open API as Dagster assets.

`Market` reads what is stored. It is loaded when it is first asked for, not with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kis_assets.market import Market

__all__ = ["Market"]


def __getattr__(name: str) -> object:
    if name == "Market":
        from kis_assets.market import Market

        return Market
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

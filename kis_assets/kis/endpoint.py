"""A service of KIS, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from kis_assets.exchange.venues import Venue

MARKET_CODES = {Venue.KRX: "J", Venue.NXT: "NX", Venue.UNIFIED: "UN"}
"""What KIS calls a venue in the parameter FID_COND_MRKT_DIV_CODE."""


@dataclass(frozen=True)
class Endpoint:
    """A service of KIS; its name ends its path, and is what messages and counts call it.

    Source: open-trading-api and the developer portal, as of 2026-07.
    """

    name: str
    tr_id: str
    virtual: bool = True
    """Whether the virtual server has it."""
    live: bool = False
    """Whether it goes before history in the quota's queue."""
    folder: str = "quotations"

    @property
    def path(self) -> str:
        """Where it stands on the server."""
        return f"/uapi/domestic-stock/v1/{self.folder}/{self.name}"


@dataclass(frozen=True)
class AskOptions:
    """About which market something is asked, and how it stands in the quota's queue."""

    venue: Venue = Venue.KRX
    patience: float | None = None
    """Seconds in the queue at most; `KIS_API_QUEUE_TIMEOUT` where it is None."""
    live: bool = False
    """Whether it goes before history, though its endpoint does not."""

    @property
    def market(self) -> str:
        """The parameter FID_COND_MRKT_DIV_CODE."""
        return MARKET_CODES[self.venue]


DEFAULT = AskOptions()

"""What is said of a service of KIS before it is asked."""

from __future__ import annotations

from dataclasses import dataclass


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
    folder: str = "domestic-stock/v1/quotations"

    @property
    def path(self) -> str:
        """Where it stands on the server."""
        return f"/uapi/{self.folder}/{self.name}"

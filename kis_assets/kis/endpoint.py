"""The static description of a service of KIS."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A service of KIS; its name is the end of its path, and its name in messages and counts.

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
        """The path on the server."""
        return f"/uapi/{self.folder}/{self.name}"

"""The static description of a service of KIS, and one request to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


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


@dataclass(frozen=True)
class Request(Generic[T]):
    """A request, and the function that reads its answer."""

    endpoint: Endpoint
    parameters: Mapping[str, str]
    read: Callable[[dict[str, Any]], T]
    tr_cont: str
    tries: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    """Numbers its attempts, for who traces them."""

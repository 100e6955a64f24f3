"""Where the rows of a folder come from, and the word about those that no exchange made."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from kis_assets.exchange.venues import Venue
from kis_assets.lake import queries
from kis_assets.lake.reader import CatalogReader

log = logging.getLogger("kis_assets.market")

_NAMES = {venue.named(name) for venue in Venue for name in ("kis", "krx", "mock")}


def source_of(catalog: CatalogReader) -> str:
    """The source of a lake: by the name of its folder, else by its rows; else empty."""
    if catalog.folder.name in _NAMES:
        return catalog.folder.name
    try:
        query = "SELECT any_value(source) FROM recent_stock_master()"
        _, rows = catalog.ask(query, (), queries.as_rows)
        return str(rows[0][0] or "")
    except Exception:  # what cannot be read is told by whoever asks for it
        return ""


@cache
def say_once(mark: str, folder: Path) -> None:
    """Log that the rows of a folder are invented, once a process; it goes to standard error."""
    log.warning("%s (%s)", mark, folder)

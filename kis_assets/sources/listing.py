"""What KIS's master files say of single stocks: read once a day, names of sectors once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import date
from threading import Lock
from typing import Any

import polars as pl

from kis_assets.errors import InvalidRequest, KISError, ServiceUnavailable, UnexpectedAnswer
from kis_assets.kis import master_files
from kis_assets.kis.client import Client
from kis_assets.sources.record_types import StockInfo

log = logging.getLogger(__name__)

RESTS = 60.0
"""Seconds for which names are done without after the master files could not be had."""


class Listing:
    """The listed stocks of today. Thread-safe."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._master: tuple[date, pl.DataFrame] | None = None
        self._sectors: dict[str, str] | None = None
        self._lock = Lock()
        self._rests_until = 0.0

    def about(self, stock_code: str) -> StockInfo:
        """The facts of a stock, or its code alone: a quote is worth having without its name."""
        if time.monotonic() < self._rests_until:
            return StockInfo(stock_code)
        try:
            with self._lock:  # one download for all threads
                return self.info(stock_code)
        except InvalidRequest:
            return StockInfo(stock_code)
        except KISError as error:
            # Thousands of quotes must not each wait for files that cannot be had.
            self._rests_until = time.monotonic() + RESTS
            log.warning("no name of %s: %s", stock_code, error)
            return StockInfo(stock_code)

    def info(self, stock_code: str) -> StockInfo:
        """The facts of a stock.

        Raises:
            InvalidRequest: it is not listed.
            KISError: the files cannot be had or read.
        """
        today = self._client.settings.now().date()
        if self._master is None or self._master[0] != today:
            self._master = (today, master_files.issues(self._client))
        found = self._master[1].filter(pl.col("stock_code") == stock_code)
        if found.is_empty():
            raise InvalidRequest("no stock of this code is listed", stock_code=stock_code)
        return StockInfo.of(stock_code, self._with_sectors(found.row(0, named=True)))

    def facts(self, stocks: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """Columns of `stock_info` out of rows of `stock_master`, as far as the files tell them."""
        try:
            traded_on_nxt = master_files.nxt_codes(self._client)
        except (ServiceUnavailable, UnexpectedAnswer) as error:
            # No document of KIS's own names these two files: what they say is not all there is.
            log.warning("not known what NXT trades: %s", error)
            traded_on_nxt = None
        for row in stocks.iter_rows(named=True):
            market, kospi200_sector = row["market"].lower(), row["kospi200_sector"]
            is_share = row["security_group"] in ("ST", "KN", "FS")
            is_preferred = row["security_type"] == "preferred"
            yield self._with_sectors(row) | {
                f"listed_on_{market}": row["listed_on"],
                "kind_of_share": ("preferred" if is_preferred else "common") if is_share else None,
                "in_kospi200": None if kospi200_sector is None else kospi200_sector != "0",
                "on_nxt": None if traded_on_nxt is None else row["stock_code"] in traded_on_nxt,
            }

    def _with_sectors(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the master files with the names of its sectors, where they can be had."""
        if self._sectors is None:
            try:
                self._sectors = master_files.sector_names(self._client)
            except KISError as error:
                log.warning("no names of sectors: %s", error)
                self._sectors = {}
        sizes = ("large", "medium", "small")
        return row | {
            f"sector_{size}_name": self._sectors.get(row[f"sector_{size}"] or "") for size in sizes
        }

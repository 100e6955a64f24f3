"""Facts of single stocks from KIS's master files, read once a day for all processes."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Any

import polars as pl

from kis_assets.errors import InvalidRequest, KISError, ServiceUnavailable, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis import master_files
from kis_assets.kis.client import Client
from kis_assets.sources.record_types import StockInfo
from kis_assets.state.cache import Store
from kis_assets.tables import STOCK_MASTER

log = logging.getLogger(__name__)

RETRY_AFTER = 60.0
"""Seconds without names after a failed download of the master files."""


_DAY = 86_400.0
_FILE_COLUMNS = STOCK_MASTER.schema.keys() - {"trading_day", "source", "fetched_at"}
"""The columns that the files have."""


class Listing:
    """The listed stocks of today. Thread-safe.

    `store` keeps them for other processes; without a store each process reads the files.
    """

    def __init__(self, client: Client, store: Store | None = None) -> None:
        self._client = client
        self._store = store
        self._master: tuple[str, pl.DataFrame] | None = None
        self._sectors: dict[str, str] | None = None
        self._lock = Lock()
        self._retry_at = 0.0

    def about(self, stock_code: str) -> StockInfo:
        """The facts of a stock, or only its code: a quote without a name is still useful."""
        if time.monotonic() < self._retry_at:
            return StockInfo(stock_code)
        try:
            with self._lock:  # one download for all threads
                return self.info(stock_code)
        except InvalidRequest:
            return StockInfo(stock_code)
        except KISError as error:
            # Thousands of quotes must not each wait for files that are not available.
            self._retry_at = time.monotonic() + RETRY_AFTER
            log.warning("no name of %s: %s", stock_code, error)
            return StockInfo(stock_code)

    def info(self, stock_code: str) -> StockInfo:
        """The facts of a stock.

        Raises:
            InvalidRequest: it is not listed.
            KISError: the files cannot be downloaded or read.
        """
        since = _files_of(self._client.settings.now())
        if self._master is None or self._master[0] != since:
            self._master = (since, self._issues(since))
        found = self._master[1].filter(pl.col("stock_code") == stock_code)
        if found.is_empty():
            raise InvalidRequest("no stock of this code is listed", stock_code=stock_code)
        return StockInfo.of(stock_code, self._with_sectors(found.row(0, named=True)))

    def facts(self, stocks: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """Columns of `stock_info` from rows of `stock_master`, as far as the files have them."""
        try:
            traded_on_nxt = master_files.nxt_codes(self._client)
        except (ServiceUnavailable, UnexpectedAnswer) as error:
            # KIS does not document these two files, so a failure must not stop the rest.
            log.warning("the list of NXT's stocks is not available: %s", error)
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

    def _issues(self, since: str) -> pl.DataFrame:
        """The content of the master files, from another process if it has read them."""
        if (kept := self._kept(f"listing:{since}")) is not None:
            with suppress(pl.exceptions.PolarsError, OSError):
                rows = pl.read_parquet(io.BytesIO(kept))
                if set(rows.columns) >= _FILE_COLUMNS:
                    return rows  # otherwise an earlier version of this program stored it
        rows = master_files.issues(self._client)
        written = io.BytesIO()
        rows.write_parquet(written)
        self._keep(f"listing:{since}", written.getvalue())
        return rows

    def _kept(self, key: str) -> bytes | None:
        try:
            return None if self._store is None else self._store.get(key)
        except ServiceUnavailable:
            return None

    def _keep(self, key: str, value: bytes) -> None:
        if self._store is not None:
            with suppress(ServiceUnavailable):
                self._store.set({key: value}, _DAY)

    def _with_sectors(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the master files with the names of its sectors, if they are available."""
        if self._sectors is None:
            self._sectors = self._sector_names()
        sizes = ("large", "medium", "small")
        return row | {
            f"sector_{size}_name": self._sectors.get(row[f"sector_{size}"] or "") for size in sizes
        }

    def _sector_names(self) -> dict[str, str]:
        key = f"sectors:{_files_of(self._client.settings.now())}"
        if (kept := self._kept(key)) is not None:
            with suppress(ValueError):
                return dict(json.loads(kept))
        try:
            names = master_files.sector_names(self._client)
        except KISError as error:
            log.warning("no names of sectors: %s", error)
            return {}
        self._keep(key, json.dumps(names).encode())
        return names


def _files_of(now: datetime) -> str:
    """A key for the master files at a moment: the day, and whether they are updated."""
    seoul = now.astimezone(calendar.SEOUL)
    return f"{seoul.date()}:{'new' if seoul.time() >= master_files.ARE_NEW else 'old'}"

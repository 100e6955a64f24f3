"""What the master files say is read once a day by all processes together."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from kis_assets.errors import ServiceUnavailable
from kis_assets.exchange import calendar
from kis_assets.kis.client import Client
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.listing import Listing
from kis_assets.sources.mock import MockDataSource
from kis_assets.sources.record_types import StockInfo
from kis_assets.state.cache import SqliteStore, Store

SAMSUNG = "005930"
ALL = ("kospi_code.mst.zip", "kosdaq_code.mst.zip", "konex_code.mst.zip", "idxcode.mst.zip")


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=calendar.SEOUL)


class Server:
    """A server, and each process that asks it for a stock, one after another."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self._settings = settings
        self._now = at("2026-03-17T10:00")
        self._transport = InProcessTransport(
            Simulator(ModelMarket(0, lambda: self._now), rate_limit=0, token_window=0.0)
        )
        self.downloads: list[str] = []
        download = Client.download_master

        def counted(client: Client, name: str) -> bytes:
            self.downloads.append(name)
            return download(client, name)

        monkeypatch.setattr(Client, "download_master", counted)

    def info(self, moment: str, store: Store | None) -> StockInfo:
        """What the master files say, as a new process gives it that has this store."""
        self._now = at(moment)
        settings = self._settings.model_copy(update={"kis_replay_at": self._now})
        with closing(Client(settings, transport=self._transport, has_quota=False)) as client:
            return Listing(client, store).info(SAMSUNG)


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(settings, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "state" / "cache.sqlite")


def test_the_second_process_of_a_day_downloads_nothing(server: Server, store: Store) -> None:
    first = server.info("2026-03-17T10:00", store)
    assert sorted(server.downloads) == sorted([*ALL])
    assert server.info("2026-03-17T15:00", store) == first
    assert len(server.downloads) == len(ALL)


@pytest.mark.parametrize(
    ("before", "later"),
    [("2026-03-17T22:00", "2026-03-18T00:10"), ("2026-03-18T00:10", "2026-03-18T07:40")],
)
def test_files_that_may_be_new_are_downloaded_again(
    server: Server, store: Store, before: str, later: str
) -> None:
    server.info(before, store)
    server.info(later, store)
    assert len(server.downloads) == 2 * len(ALL)


class Broken(SqliteStore):
    """A store whose disk is gone."""

    def get(self, key: str) -> bytes | None:
        raise ServiceUnavailable("the disk is gone")

    def set(self, values: Mapping[str, bytes], ttl: float) -> None:
        raise ServiceUnavailable("the disk is gone")


class Odd(SqliteStore):
    """A store that gives back what nobody stored."""

    def get(self, key: str) -> bytes | None:
        return b"\x00 what is this"


class Fewer(SqliteStore):
    """A store with rows of an earlier version, which had fewer columns."""

    def get(self, key: str) -> bytes | None:
        if not key.startswith("listing"):
            return None
        found = io.BytesIO()
        pl.DataFrame({"stock_code": [SAMSUNG]}).write_parquet(found)
        return found.getvalue()


@pytest.mark.parametrize("kind", [Broken, Odd, Fewer])
def test_a_store_that_fails_costs_a_download(
    server: Server, tmp_path: Path, kind: type[SqliteStore]
) -> None:
    right = server.info("2026-03-17T10:00", None)
    assert server.info("2026-03-17T10:00", kind(tmp_path / "state" / "cache.sqlite")) == right
    assert len(server.downloads) == 2 * len(ALL)


def test_the_invented_market_is_listed_once_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load(data_source_type="mock", kis_data_dir=tmp_path)
    with MockDataSource(settings) as first:
        name = first.get_current_price(SAMSUNG).stock_name
    monkeypatch.setattr(
        "kis_assets.kis.master_files.issues", lambda _: pytest.fail("the files were read again")
    )
    with MockDataSource(settings) as second:
        assert second.get_current_price(SAMSUNG).stock_name == name

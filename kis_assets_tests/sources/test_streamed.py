"""A program follows stocks through its source, and quotes of them cost no request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kis_assets.errors import InvalidRequest, NotSupported
from kis_assets.exchange import calendar
from kis_assets.kis.stream_records import BookUpdate, Trade
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.cached import CachedDataSource
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.mock import MockDataSource
from kis_assets.sources.record_types import CurrentPrice
from kis_assets.sources.streamed import of_trade
from kis_assets.state.cache import SqliteStore

CODES = ["005930", "000660"]
TEN = datetime(2026, 3, 17, 10, 0, tzinfo=calendar.SEOUL)


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture
def simulator() -> Simulator:
    """A market that goes on ten minutes in a second."""
    began = time.monotonic()
    market = ModelMarket(0, lambda: TEN + timedelta(seconds=(time.monotonic() - began) * 600))
    return Simulator(market, rate_limit=0, token_window=0.0, clock=calendar.now)


@pytest.fixture
def source(simulator: Simulator, settings: Settings, tmp_path: Path) -> Iterator[CachedDataSource]:
    with serve(simulator, tick=0.01) as url:
        there = settings.model_copy(
            update={
                "kis_api_base_url_real": url, "kis_master_base_url": url,
                "kis_ws_url_real": url.replace("http", "ws"), "kis_data_dir": tmp_path,
                "kis_replay_at": TEN,
            }
        )  # fmt: skip
        store = SqliteStore(tmp_path / "state" / "cache.sqlite")
        with CachedDataSource(KISDataSource(there, has_quota=False), store, there) as opened:
            yield opened


def test_functions_are_told_each_trade_and_book(source: CachedDataSource) -> None:
    trades: list[Trade] = []
    books: list[BookUpdate] = []
    with source.stream(CODES, on_trade=trades.append, on_order_book=books.append):
        until(lambda: len(trades) > 20 and len(books) > 20)
    assert {it.stock_code for it in trades} == {it.stock_code for it in books} == set(CODES)


def test_one_function_registers_what_it_needs(
    source: CachedDataSource, simulator: Simulator
) -> None:
    books: list[BookUpdate] = []
    with source.stream(CODES, on_order_book=books.append) as feed:
        assert feed.capacity == 41
        until(lambda: bool(books))
    assert simulator.calls("inquire-price") == 0


def test_quotes_of_followed_stocks_are_those_of_their_trades_and_cost_nothing(
    source: CachedDataSource, simulator: Simulator
) -> None:
    trades: list[Trade] = []
    with source.stream(CODES[:1], on_trade=trades.append):
        until(lambda: len(trades) > 3)
        before = simulator.calls("inquire-price")
        until(lambda: source.get_current_price(CODES[0]).volume > trades[2].volume)
        quote = source.get_current_price(CODES[0])
        assert simulator.calls("inquire-price") == before == 1
    [seen] = [it for it in trades if it.volume == quote.volume]
    assert (quote.current_price, quote.change_price) == (seen.price, seen.change)
    assert quote.stock_name == "삼성전자"


def test_a_quote_after_a_trade() -> None:
    quote = CurrentPrice(
        stock_code="005930", stock_name="삼성전자", current_price=100, change_price=0,
        change_rate=0.0, open_price=100, high_price=100, low_price=100, volume=1,
        trading_value=100, market_cap=1_000, timestamp="", session="pre_open",
    )  # fmt: skip
    trade = Trade(
        stock_code="005930", traded_at=TEN, price=110, quantity=2, side="buy", change=10,
        change_rate=10.0, open=100, high=110, low=99, best_ask=110, best_bid=109, volume=3,
        trading_value=320, is_halted=False, session="regular", received_at=TEN,
    )  # fmt: skip
    assert of_trade(quote, trade) == CurrentPrice(
        stock_code="005930", stock_name="삼성전자", current_price=110, change_price=10,
        change_rate=10.0, open_price=100, high_price=110, low_price=99, volume=3,
        trading_value=320, market_cap=1_100, timestamp="2026-03-17T10:00:00+09:00",
        session="regular",
    )  # fmt: skip


def test_what_cannot_be_followed_is_refused(source: CachedDataSource) -> None:
    with pytest.raises(InvalidRequest, match="is no stock code"):
        source.stream(["nothing"], on_trade=print)
    with pytest.raises(InvalidRequest, match="21 stocks are more than the 20"):
        source.stream([f"{n:06d}" for n in range(0, 210, 10)], on_trade=print, on_order_book=print)


def test_the_invented_market_says_where_its_feed_is(tmp_path: Path) -> None:
    settings = Settings.load(data_source_type="mock", kis_data_dir=tmp_path)
    with MockDataSource(settings) as source, pytest.raises(NotSupported, match="simulate"):
        source.stream(CODES, on_trade=print)

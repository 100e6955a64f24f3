"""Published clients, as they are on PyPI, against the simulator: it speaks what they expect.

Only the address they talk to is changed. `make test-clients` installs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from kis_assets.exchange import calendar
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets_tests.conftest import APP_KEY, APP_SECRET

pytestmark = [
    pytest.mark.clients,
    # What other people's code warns of is not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]

AFTERNOON = datetime(2026, 3, 17, 14, 0, 30, tzinfo=calendar.SEOUL)
SAMSUNG = "005930"


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They keep tokens in the home folder; one of an earlier server is none of this one's."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture
def server() -> Iterator[tuple[Simulator, str]]:
    """A server in the middle of a session, with its limit on; tokens live by the wall clock."""
    simulator = Simulator(ModelMarket(seed=0, clock=lambda: AFTERNOON), clock=calendar.now)
    with serve(simulator) as url:
        yield simulator, url


def quote_of(simulator: Simulator) -> Any:
    quote = simulator.market.quote(SAMSUNG, AFTERNOON)
    assert quote is not None
    return quote


def test_python_kis(server: tuple[Simulator, str], monkeypatch: pytest.MonkeyPatch) -> None:
    pykis = pytest.importorskip("pykis", reason="python-kis is not installed")
    simulator, url = server
    monkeypatch.setattr("pykis.kis.REAL_DOMAIN", url)
    kis = pykis.PyKis(
        id="tester",
        account="00000000-01",
        appkey=APP_KEY,
        secretkey=APP_SECRET,
        use_websocket=False,
    )
    stock = kis.stock(SAMSUNG)
    assert stock.name == "삼성전자"
    assert stock.quote().price == quote_of(simulator).bar.close
    book = stock.orderbook()
    assert len(book.asks) == len(book.bids) == 10
    assert book.asks[0].price > book.bids[0].price
    chart = stock.daily_chart(start=date(2025, 9, 1), end=date(2026, 3, 17), period="day")
    assert len(chart.bars) == len(calendar.trading_days(date(2025, 9, 1), date(2026, 3, 17)))
    minutes = stock.day_chart(period=1)
    assert len(minutes.bars) >= 300
    assert simulator.refusals == 0


def test_kis_trader(server: tuple[Simulator, str], monkeypatch: pytest.MonkeyPatch) -> None:
    trader = pytest.importorskip("kis_trader", reason="kis-trader is not installed")
    from kis_trader._internal import _endpoints

    simulator, url = server
    monkeypatch.setitem(_endpoints._BASE_URL_BY_ENVIRONMENT, "real", url)
    kis = trader.KISClient(
        app_key=APP_KEY, app_secret=APP_SECRET, account="12345678-01", environment="real"
    )
    stock = kis.domestic.stock(SAMSUNG)
    assert int(stock.quote().current_price) == quote_of(simulator).bar.close
    book = stock.order_book()
    assert book.asks[0].price > book.bids[0].price
    bars = stock.bars("1d", start="2025-01-02", end="2026-03-17")
    assert len(bars) == len(calendar.trading_days(date(2025, 1, 2), date(2026, 3, 17)))
    assert len(stock.minute_bars_on("2026-03-16")) == 381
    assert len(stock.bars("1m")) >= 300
    assert simulator.refusals == 0

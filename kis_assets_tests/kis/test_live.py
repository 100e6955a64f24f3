"""The same claims against KIS itself, for whoever has credentials: `make test-live`.

The virtual server by default, the real one with KIS_USE_VIRTUAL_SERVER=false. A few dozen requests;
nothing is ordered. What the protocol leaves open and a few requests can answer is printed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from kis_assets.errors import InvalidRequest, KISError, NotSupported
from kis_assets.exchange import calendar
from kis_assets.kis import quotes
from kis_assets.kis.client import Client
from kis_assets.kis.daily_candles import DAILY_CHART
from kis_assets.settings import Settings
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.record_types import PriceType
from kis_assets_tests.conftest import ENVIRONMENT

pytestmark = pytest.mark.live

SAMSUNG, UNKNOWN = "005930", "999999"
WHAT_TO_SET = (
    "set KIS_APP_KEY and KIS_APP_SECRET (and KIS_USE_VIRTUAL_SERVER=false for a real key) in the "
    "environment to ask KIS itself; nothing was asked"
)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in ENVIRONMENT.items():
        if name.startswith("KIS_"):
            monkeypatch.setenv(name, value)
    if not os.environ.get("KIS_APP_KEY"):
        pytest.skip(WHAT_TO_SET)
    # The token is the account's: it stays where the user's runs keep it.
    return Settings.load(data_source_type="kis")


@pytest.fixture
def source(settings: Settings) -> Iterator[KISDataSource]:
    with KISDataSource(settings) as opened:
        yield opened


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with closing(Client(settings)) as opened:
        yield opened


def told(question: str, answer: object) -> None:
    """An open point of the protocol, answered."""
    print(f"\nopen point: {question}: {answer}")  # noqa: T201 - this is what the run is for


def test_a_quote(source: KISDataSource) -> None:
    price = source.get_current_price(SAMSUNG)
    assert price.current_price > 0
    assert price.stock_name == "삼성전자"


def test_an_unknown_code_is_an_invalid_request(source: KISDataSource) -> None:
    with pytest.raises(InvalidRequest):
        source.get_current_price(UNKNOWN)


def test_an_order_book(source: KISDataSource) -> None:
    book = source.get_order_book(SAMSUNG)
    asks = [level.price for level in book.ask_levels]
    assert asks == sorted(asks)
    now = calendar.now()
    session = calendar.latest_session(now)
    if now > session.closes_at:
        told("order book outside sessions", f"{len(asks)} ask levels")


def test_daily_bars_are_newest_first_and_on_trading_days(source: KISDataSource) -> None:
    bars = source.get_chart_data(SAMSUNG, PriceType.DAILY, 130)
    days = [bar.date for bar in bars]
    assert days == sorted(days, reverse=True)
    assert len(days) == 130
    last = calendar.latest_session(calendar.now()).day
    known = {f"{day:%Y%m%d}" for day in calendar.trading_days(last - timedelta(days=400), last)}
    assert set(days) <= known


def test_todays_minutes_lie_in_the_session(source: KISDataSource) -> None:
    bars = source.get_chart_data(SAMSUNG, PriceType.MINUTE_1, 30)
    assert bars
    assert all("090000" <= bar.date[8:] <= "200000" for bar in bars)


def test_master_files_have_the_whole_market(source: KISDataSource) -> None:
    rows = source.tables.stock_master(calendar.today())
    common = rows.filter(pl.col("security_type") == "common", pl.col("market") != "KONEX")
    assert common.height > 2200
    assert SAMSUNG in rows["stock_code"]
    sample = rows.filter(pl.col("stock_code") == SAMSUNG)["capital"][0]
    told("unit of the master's capital (778,046,685,000 KRW is Samsung's)", sample)


def test_what_a_virtual_server_lacks_is_said_plainly(source: KISDataSource) -> None:
    if source._settings.environment == "real":
        stocks = source.tables.stock_master(calendar.today()).filter(
            pl.col("stock_code") == SAMSUNG
        )
        day = calendar.latest_session(calendar.now()).day
        assert source.tables.price_snapshots(stocks, day, calendar.now()).rows.height == 1
        return
    with pytest.raises(NotSupported, match="real"):
        source.tables.corporate_actions(calendar.today().replace(day=1))


def test_open_points(client: Client) -> None:
    if client.environment == "real":
        found = quotes.prices(client, (SAMSUNG, UNKNOWN))
        told("13, multprice with an unknown code", f"answers for {sorted(found)}")
        holiday = calendar.latest_session(calendar.now()).day
        while calendar.is_trading_day(holiday):
            holiday -= timedelta(days=1)
        try:
            client.ask(
                DAILY_CHART,
                {
                    "FID_COND_MRKT_DIV_CODE": "J",
                    "FID_INPUT_ISCD": SAMSUNG,
                    "FID_INPUT_DATE_1": f"{holiday:%Y%m%d}",
                    "FID_INPUT_DATE_2": f"{holiday:%Y%m%d}",
                    "FID_PERIOD_DIV_CODE": "D",
                    "FID_ORG_ADJ_PRC": "1",
                },
                lambda body: told("daily chart of a closed day", body.get("output2")),
            )
        except KISError as error:
            told("daily chart of a closed day", error)
    for period in ("W", "M"):
        last = calendar.latest_session(calendar.now()).day
        client.ask(
            DAILY_CHART,
            {
                "FID_COND_MRKT_DIV_CODE": "J",
                "FID_INPUT_ISCD": SAMSUNG,
                "FID_INPUT_DATE_1": f"{last - timedelta(days=90):%Y%m%d}",
                "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
                "FID_PERIOD_DIV_CODE": period,
                "FID_ORG_ADJ_PRC": "1",
            },
            lambda body, period=period: told(
                f"8, date label of {period} bars",
                [row.get("stck_bsop_date") for row in body["output2"][:3]],
            ),
        )

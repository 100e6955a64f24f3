"""A figure that cannot be costs its own stock, by name, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import polars as pl
import pytest
from pydantic import SecretStr

from kis_assets.errors import InvalidRequest, KISError, UnexpectedAnswer
from kis_assets.kis.action_lists import ACTION_LISTS, DIVIDENDS
from kis_assets.kis.calendar import CALENDAR
from kis_assets.kis.corporate_actions import read_page
from kis_assets.kis.daily_candles import DAILY_CHART, RECENT_DAYS
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.minute_candles import PAST_MINUTES
from kis_assets.kis.order_books import ORDER_BOOK
from kis_assets.kis.quotes import MANY_PRICES, PRICE
from kis_assets.kis.stock_info import STOCK_INFO
from kis_assets.krx import client
from kis_assets.settings import Settings
from kis_assets.simulator.server import services
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.krx import KRXDataSource
from kis_assets.sources.tables import Fetched
from kis_assets_tests.conftest import EVENING, open_source
from kis_assets_tests.kis.test_master_files import parse, record
from kis_assets_tests.krx.test_krx_source import ROW

DAY = EVENING.date()
ONE, OTHERS = "000660", ["005930", "035420"]
IMPOSSIBLE = [str(2**63), "1" + "0" * 30, "9" * 5_000, "1e400", "1e300", "NaN", "Infinity", "-5"]


def spoil(monkeypatch: pytest.MonkeyPatch, asked: Endpoint, figure: str, word: Any) -> None:
    """Have the servers of this process say it of one stock."""
    service = services.SERVICES[asked.path]

    def answer(request: Any) -> Any:
        given = service.answer(request)
        is_alone = ONE in request.parameters.values() and asked is not MANY_PRICES
        for part in given.payload.values():
            for row in part if isinstance(part, list) else [part]:
                if figure in row and (is_alone or row.get("inter_shrn_iscd") == ONE):
                    row[figure] = word
        return given

    monkeypatch.setitem(services.SERVICES, asked.path, replace(service, answer=answer))


def stocks(source: KISDataSource, shares: int | None = None) -> pl.DataFrame:
    found = source.tables.stock_master(DAY).filter(pl.col("stock_code").is_in([ONE, *OTHERS]))
    if shares is None:
        return found
    is_one = pl.col("stock_code") == ONE
    return found.with_columns(listed_shares=pl.when(is_one).then(shares).otherwise("listed_shares"))


Fetch = Callable[[KISDataSource], Fetched]
TABLES: dict[str, tuple[Endpoint, str, Fetch]] = {
    "prices": (
        PRICE,
        "acml_vol",
        lambda source: source.tables.price_snapshots(stocks(source), DAY, EVENING),
    ),
    "order books": (
        ORDER_BOOK,
        "bidp_rsqn3",
        lambda source: source.tables.order_books(stocks(source), DAY, EVENING),
    ),
    "daily candles": (
        DAILY_CHART,
        "acml_tr_pbmn",
        lambda source: source.tables.daily_candles([ONE, *OTHERS], date(2026, 3, 2), DAY),
    ),
    "recent candles": (
        RECENT_DAYS,
        "acml_vol",
        lambda source: source.tables.recent_candles([ONE, *OTHERS]),
    ),
    "minutes": (
        PAST_MINUTES,
        "cntg_vol",
        lambda source: source.tables.minute_candles([ONE, *OTHERS], DAY),
    ),
    "stock info": (
        STOCK_INFO,
        "lstg_stqt",
        lambda source: source.tables.stock_info(stocks(source), DAY),
    ),
    "capital": (
        STOCK_INFO,
        "cpta",
        lambda source: source.tables.stock_info(stocks(source), DAY),
    ),
}
KINDS = [[], {"a": [1]}, True, 10**4000]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("word", [*IMPOSSIBLE, *KINDS], ids=lambda it: str(it)[:12])
def test_the_one_stock_fails_by_name_and_the_others_are_there(
    simulator: Simulator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    word: Any,
) -> None:
    if name == "capital" and word == "-5":
        return  # a company may be in debt
    asked, figure, fetch = TABLES[name]
    spoil(monkeypatch, asked, figure, word)
    if asked is PRICE:
        spoil(monkeypatch, MANY_PRICES, figure, word)
    with open_source(simulator, settings.model_copy(update={"kis_api_max_retries": 0})) as source:
        fetched = fetch(source)
    assert list(fetched.failed) == [ONE]
    assert isinstance(fetched.failed[ONE], KISError)
    assert not isinstance(fetched.failed[ONE], InvalidRequest)
    assert fetched.absent == {}
    assert set(fetched.rows["stock_code"]) == set(OTHERS)


def test_a_stock_worth_more_than_any_company_fails_alone(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each figure may be, and their product is no number that a table holds."""
    with open_source(simulator, settings) as source:
        fetched = source.tables.price_snapshots(stocks(source, 10**17), DAY, EVENING)
        assert list(fetched.failed) == [ONE]
        assert "than any company" in str(fetched.failed[ONE])
        assert set(fetched.rows["stock_code"]) == set(OTHERS)
        spoil(monkeypatch, PRICE, "lstn_stcn", "9" * 17)
        with pytest.raises(UnexpectedAnswer, match="than any company"):
            source.get_current_price(ONE)
        assert source.get_current_price(OTHERS[0]).market_cap


@pytest.mark.parametrize("word", ["1e999", "nan", "-inf"])
def test_a_figure_of_a_master_file_that_is_none_is_unknown(word: str) -> None:
    found = parse(record(roe=word), record(mksc_shrn_iscd="900120", roe="1.5"))
    assert found["roe"].to_list() == [None, 1.5]


# Lists of all stocks are taken whole or not at all: one that lacks a row would look complete.


@pytest.mark.parametrize("word", [*IMPOSSIBLE, *KINDS], ids=lambda it: str(it)[:12])
def test_a_list_of_the_exchange_names_the_row(settings: Settings, word: Any) -> None:
    day = date(2026, 3, 16)
    rows = [ROW, ROW | {"ISU_CD": ONE, "ACC_TRDVOL": word}]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=json.dumps({"OutBlock_1": rows}).encode())

    krx = settings.model_copy(update={"krx_api_key": SecretStr("K"), "kis_api_max_retries": 0})
    named = pytest.raises(UnexpectedAnswer, match=rf"{ONE}.*ACC_TRDVOL")
    with KRXDataSource(krx, transport=httpx.MockTransport(answer)) as source, named:
        source._markets.answer((client.DAILY["KOSPI"], day))


@pytest.mark.parametrize("word", [*IMPOSSIBLE[:-1], *KINDS], ids=lambda it: str(it)[:12])
def test_a_list_of_the_depository_is_named(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch, word: Any
) -> None:
    service = services.SERVICES[DIVIDENDS.path]

    def spoilt(request: Any) -> Any:
        given = service.answer(request)
        given.payload["output1"] = [{"sht_cd": ONE, "per_sto_divi_amt": word}]
        return given

    monkeypatch.setitem(services.SERVICES, DIVIDENDS.path, replace(service, answer=spoilt))
    named = pytest.raises(UnexpectedAnswer, match=r"dividend.*per_sto_divi_amt")
    with open_source(simulator, settings) as source, named:
        source.tables.corporate_actions(date(2026, 3, 1))


@pytest.mark.parametrize("row", [7, None, [], "x"])
@pytest.mark.parametrize("asked", [CALENDAR, DIVIDENDS])
def test_a_row_that_is_none_is_named(
    simulator: Simulator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    asked: Endpoint,
    row: Any,
) -> None:
    service = services.SERVICES[asked.path]

    def spoilt(request: Any) -> Any:
        given = service.answer(request)
        given.payload["output" if asked is CALENDAR else "output1"] = [row]
        return given

    monkeypatch.setitem(services.SERVICES, asked.path, replace(service, answer=spoilt))
    named = pytest.raises(UnexpectedAnswer, match="another shape")
    with open_source(simulator, settings) as source, named:
        source.tables.market_days(DAY, DAY)
        source.tables.corporate_actions(date(2026, 3, 1))


def test_a_dividend_of_another_age_has_no_ex_day_to_compute() -> None:
    asked = next(it for it in ACTION_LISTS if it.endpoint is DIVIDENDS)
    row = {"record_date": "99991231", "sht_cd": ONE, "per_sto_divi_amt": "5"}
    (action,) = read_page({"output1": [row]}, asked).rows
    assert action["effective_from"] == "record_on"

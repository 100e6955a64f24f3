"""Which stock a name means, and which stocks are suggested."""

from __future__ import annotations

from datetime import date
from unicodedata import normalize

import pytest

from kis_assets import Market
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.reader import NotStored
from kis_assets.tables import DAILY_CANDLES, STOCK_INFO, STOCK_MASTER
from kis_assets_tests.support.small_rows import candle, frame

DAY = date(2026, 3, 17)
LISTED = (
    ("005930", "삼성전자", "common", "SAMSUNG ELECTRONICS CO.,LTD."),
    ("005935", "삼성전자우", "preferred", "SAMSUNG ELECTRONICS CO.,LTD.(1P)"),
    ("000660", "SK하이닉스", "common", "SK hynix"),
    ("066570", "LG전자", "common", "LG ELECTRONICS INC."),
    ("58J297", "하이닉스콜", "elw", None),
    ("Q500001", "하이닉스 레버리지 ETN", "etn", None),
    ("Q500002", "삼송전지 ETN", "etn", None),
)
PRICED = ("000660", "005930", "066570")
"""The universe of this user."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder = tmp_path_factory.mktemp("named") / "mock"
    lake = Lake(folder, source="mock")
    masters = [
        {"trading_day": DAY, "stock_code": code, "stock_name": name, "security_type": kind,
         "market": "KOSPI", "isin": f"KR7{code}003", "security_group": "ST", "is_halted": False,
         "listed_shares": 1}
        for code, name, kind, _ in LISTED
    ]  # fmt: skip
    facts = [
        {
            "info_month": DAY.replace(day=1),
            "stock_code": code,
            "stock_name": name,
            "english_name": english,
            "known_from": "master",
        }
        for code, name, _, english in LISTED
        if english
    ]
    candles = [candle(DAY, 1, 1, 1, 1, stock_code=code) for code in PRICED]
    lake.replace(STOCK_MASTER, Scope.day(DAY), frame(STOCK_MASTER, *masters), publish=False)
    lake.replace(STOCK_INFO, Scope.month(DAY), frame(STOCK_INFO, *facts), publish=False)
    lake.replace(DAILY_CANDLES, Scope.month(DAY), frame(DAILY_CANDLES, *candles))
    return Market(folder)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *[(name, "005930") for name in ("삼성전자", normalize("NFD", "삼성전자"), "삼성 전자")],
        *[(name, "005930") for name in ("Samsung Electronics", "samsung electronics co., ltd.")],
        *[("sk Hynix", "000660"), ("hynix", "000660"), ("LG Electronics", "066570")],
        ("하이닉스", "000660"),
        *[(given, "005930") for given in (5930, "5930", "005930.KS", "KRX:005930", "A005930")],
    ],
)
def test_a_stock_is_meant_by_code_and_by_name_in_both_languages(
    market: Market, name: str | int, code: str
) -> None:
    assert market.code(name) == code
    assert market.find(str(name))["stock_code"][0] == code


def test_a_name_of_two_companies_is_asked_back(market: Market) -> None:
    with pytest.raises(NotStored, match=r"'electronics' fits several stocks: .*LG전자"):
        market.code("electronics")


@pytest.mark.parametrize("wrong", ["삼송전지", "Hainix", "005931"])
def test_what_is_suggested_is_of_the_universe_and_no_warrant_or_note(
    market: Market, wrong: str
) -> None:
    with pytest.raises(NotStored) as caught:
        market.daily_candles(f"{wrong}X" if wrong == "삼송전지" else wrong)
    suggested = str(caught.value).partition("nearest: ")[2]
    assert {code for code, *_ in LISTED if code in suggested} == set(PRICED)
    assert suggested.startswith("SK하이닉스" if wrong == "Hainix" else "삼성전자")


def test_a_warrant_can_still_be_named(market: Market) -> None:
    assert market.code("하이닉스콜") == "58J297"
    assert market.code("삼송전지") == "Q500002"


@pytest.mark.parametrize("text", ["%", "'; DROP", "..."])
def test_signs_alone_fit_no_stock(market: Market, text: str) -> None:
    assert market.find(text).is_empty()


def test_nothing_is_suggested_that_is_not_alike(market: Market) -> None:
    for text in ("banana", "없는회사"):
        with pytest.raises(NotStored) as told:
            market.code(text)
        assert "nearest" not in str(told.value)

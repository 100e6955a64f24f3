"""Stock info: search-stock-info on the real server, the master files where that is missing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from typing import Any

import polars as pl
import pytest

from kis_assets.errors import InvalidRequest, UnexpectedAnswer
from kis_assets.kis import master_files, stock_info
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import STOCK_INFO
from kis_assets_tests.conftest import open_source
from kis_assets_tests.support.in_process import (
    FEW,
    checks,
    failure,
    materialize,
    metadata,
    point_at,
    rows,
)

PATH = "search-stock-info"
MONTH = "2026-03-01"
SAMSUNG = "005930"

ANSWER = {
    "pdno": "00000A900110", "prdt_type_cd": "300", "mket_id_cd": "STK", "scty_grp_id_cd": "ST",
    "lstg_stqt": "150000000", "cpta": "75000000000", "papr": "500", "kospi200_item_yn": "N",
    "scts_mket_lstg_dt": "20010912", "scts_mket_lstg_abol_dt": "", "kosdaq_mket_lstg_dt": " ",
    "lstg_abol_dt": "", "stck_kind_cd": "101", "prdt_abrv_name": "가상전자",
    "prdt_name": "가상전자보통주", "std_pdno": "KR7900110008", "tr_stop_yn": "N",
    "admn_item_yn": "N", "cptt_trad_tr_psbl_yn": "Y", "nxt_tr_stop_yn": "N",
}  # fmt: skip


@pytest.fixture
def virtual(market: ModelMarket, settings: Settings) -> Iterator[KISDataSource]:
    """The source over a virtual server."""
    server = Simulator(market, environment="virtual", rate_limit=0)
    there = {"kis_use_virtual_server": True, "kis_api_base_url_virtual": "http://kis.test"}
    with open_source(server, settings.model_copy(update=there)) as opened:
        yield opened


def read(**changes: str) -> dict[str, Any]:
    return stock_info.read_stock_info({"output": ANSWER | changes}, "900110")


# One answer


def test_an_answer_is_read() -> None:
    facts = read()
    assert facts["stock_code"] == "900110"
    assert (facts["stock_name"], facts["full_name"]) == ("가상전자", "가상전자보통주")
    assert (facts["market"], facts["kind_of_share"]) == ("KOSPI", "common")
    assert facts["listed_on_kospi"] == date(2001, 9, 12)
    assert facts["listed_shares"] == 150_000_000
    assert (facts["on_nxt"], facts["is_halted"]) == (True, False)


def test_blank_and_missing_optional_fields_are_null() -> None:
    facts = read(lstg_stqt=" ", papr="", tr_stop_yn=" ", lstg_abol_dt="00000000")
    for name in ("listed_shares", "face_value", "is_halted", "delisted_on", "industry"):
        assert facts[name] is None
    assert facts["left_kospi_on"] is None


@pytest.mark.parametrize(
    ("listed", "freeboard", "read_as"),
    [
        ({"scts_mket_lstg_dt": "20010912"}, "20010912", None),
        ({"kosdaq_mket_lstg_dt": "19990315"}, "19990315", None),
        ({}, "20080404", date(2008, 4, 4)),
        ({}, "", None),
    ],
)
def test_a_listing_day_that_is_repeated_is_none_on_freeboard(
    listed: dict[str, str], freeboard: str, read_as: date | None
) -> None:
    assert read(frbd_mket_lstg_dt=freeboard, **listed)["listed_on_freeboard"] == read_as


def test_the_kind_of_share_is_told_in_a_word() -> None:
    kinds = {"101": "common", "201": "preferred", "207": "preferred", "301": "deferred"}
    assert {code: read(stck_kind_cd=code)["kind_of_share"] for code in kinds} == kinds
    assert read(stck_kind_cd="000")["kind_of_share"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"pdno": "00000A900120"},
        {"pdno": " "},
        {"prdt_abrv_name": ""},
        {"lstg_stqt": "many"},
        {"tr_stop_yn": "0"},
        {"lstg_abol_dt": "20260231"},
    ],
)
def test_an_answer_that_cannot_be_right_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(UnexpectedAnswer):
        read(**wrong)


# One stock


def test_the_real_server_is_asked_for_one_stock(
    simulator: Simulator, source: KISDataSource
) -> None:
    found = source.get_stock_info(SAMSUNG)
    stock = simulator.market.stock(SAMSUNG)
    assert stock is not None
    assert (found.stock_name, found.market) == (stock.name, "KOSPI")
    assert found.listed_shares == stock.listed_shares
    assert found.industry == stock.industry
    assert found.sector
    assert simulator.calls(PATH) == 1


def test_the_virtual_server_has_the_master_files(virtual: KISDataSource) -> None:
    found = virtual.get_stock_info(SAMSUNG)
    assert (found.stock_code, found.market, found.industry) == (SAMSUNG, "KOSPI", None)
    assert found.listed_shares
    assert found.listed_shares % 1_000 == 0


@pytest.mark.parametrize("which", ["source", "virtual"])
def test_an_unknown_code_is_an_invalid_request(which: str, request: pytest.FixtureRequest) -> None:
    """The real server says rt_cd 7; the master files have no such record."""
    with pytest.raises(InvalidRequest, match="999999"):
        request.getfixturevalue(which).get_stock_info("999999")


def test_the_size_class_is_no_sector(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS calls it the large class of sectors."""
    facts = read() | {"sector_large_name": "대형주"}
    monkeypatch.setattr(stock_info, "stock_info", lambda *_: facts)
    assert source.get_stock_info("900110").sector is None
    facts["sector_medium_name"] = "기계"
    assert source.get_stock_info("900110").sector == "기계"


def test_a_price_needs_no_stock_info(simulator: Simulator, source: KISDataSource) -> None:
    """The ledger behind search-stock-info is slow, and the master files have the name."""
    assert source.get_current_price(SAMSUNG).stock_name
    assert simulator.calls(PATH) == 0


def test_another_stocks_answer_is_refused(simulator: Simulator, source: KISDataSource) -> None:
    simulator.faults.wrong_code_answer = When(path=PATH)
    with pytest.raises(UnexpectedAnswer, match=SAMSUNG):
        source.get_stock_info(SAMSUNG)


# The asset


def test_a_month_of_stock_info_is_stored_and_its_checks_pass(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    assert materialize("stock_master", "2026-03-17").success
    result = materialize("stock_info", MONTH)
    assert result.success
    assert all(checks(result).values())
    stored = rows(STOCK_INFO)
    assert stored["stock_code"].to_list() == sorted(FEW.split(","))
    assert set(stored["known_from"]) == {PATH}
    assert stored["sector_medium_name"].null_count() == 0
    assert stored["industry"].null_count() == 0
    assert metadata(result)["requests"] == 8


@pytest.mark.parametrize("month", ["2026-02-01", "2025-03-01"])
def test_a_past_month_is_refused(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, month: str
) -> None:
    """Slow facts are of now: today's would be stored under a month in which they did not hold."""
    point_at(simulator, monkeypatch)
    sentence = failure(materialize("stock_info", month))
    assert "stock info is available only for 2026-03" in sentence
    assert simulator.log == []


def test_one_bad_stock_stops_no_other_and_what_was_stored_of_it_stays(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    assert materialize("stock_info", MONTH).success
    simulator.faults.wrong_code_answer = When(path=PATH, calls=1)
    result = materialize("stock_info", MONTH)
    assert result.success
    assert metadata(result)["failed"] == 1
    assert rows(STOCK_INFO).height == 8


def test_nothing_but_bad_answers_stores_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    simulator.faults.wrong_code_answer = When(path=PATH)
    assert "nothing is stored" in failure(materialize("stock_info", MONTH))
    assert rows(STOCK_INFO).is_empty()


def test_without_the_lists_of_nxt_it_is_not_known_what_nxt_trades(
    market: ModelMarket, settings: Settings
) -> None:
    server = Simulator(market, environment="virtual", rate_limit=0)
    there = {
        "kis_use_virtual_server": True,
        "kis_api_base_url_virtual": "http://kis.test",
        "kis_api_max_retries": 0,
    }
    server.faults.unavailable = When(path="nxt_")
    with open_source(server, settings.model_copy(update=there)) as virtual:
        stocks = virtual.tables.stock_master(date(2026, 3, 17)).head(3)
        facts = virtual.tables.stock_info(stocks, date(2026, 3, 1)).rows
    assert facts["on_nxt"].to_list() == [None] * 3
    assert facts["stock_name"].null_count() == 0


def test_the_virtual_server_makes_it_of_the_master_files_and_says_so(
    virtual: KISDataSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stocks = virtual.tables.stock_master(date(2026, 3, 17)).filter(
        pl.col("stock_code").is_in([SAMSUNG, "005935", "247540"])
    )
    facts = virtual.tables.stock_info(stocks, date(2026, 3, 1)).rows
    assert "stock info comes from the master files" in caplog.text
    assert "KIS_USE_VIRTUAL_SERVER=false" in caplog.text
    by_code = {row["stock_code"]: row for row in facts.iter_rows(named=True)}
    assert {row["known_from"] for row in by_code.values()} == {"master"}
    assert by_code["005935"]["kind_of_share"] == "preferred"
    assert by_code[SAMSUNG]["on_nxt"]
    assert by_code[SAMSUNG]["listed_on_kospi"]
    assert by_code["247540"]["listed_on_kosdaq"]


def test_sector_names_are_cut_by_bytes() -> None:
    """KIS's own sample decodes first and loses the first character of every name."""
    record = b"00027" + "제조".encode("cp949").ljust(40)
    assert master_files.read_sector_names(record + b"\r\n" + record + b"\n") == {"0027": "제조"}
    with pytest.raises(UnexpectedAnswer, match="45 bytes"):
        master_files.read_sector_names(record[:-1])

"""Figures a day as KIS words them, read into shares, KRW and percent: one row of each service.

What `*_tr_pbmn` counts changes from one service to the next, and within one row.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from kis_assets.errors import InvalidRequest, UnexpectedAnswer
from kis_assets.kis import (
    credit_balances,
    etf_navs,
    index_candles,
    investor_flows,
    market_flows,
    program_trades,
    short_sales,
    stock_loans,
    valuations,
)
from kis_assets.kis.daily_figures import ODD, DailyService, Day
from kis_assets.kis.financial_statements import single_quarters
from kis_assets_tests.support import figure_answers as given

CODE, DAY = "900110", date(2026, 9, 22)
MILLION = 1_000_000


def one(service: DailyService, answer: dict[str, Any], code: str = CODE) -> list[Day]:
    """The rows of the table that the only day of an answer is."""
    (day,) = service.read(answer, code)
    return service.spread(day)


def test_flows_are_in_shares_and_krw() -> None:
    rows = one(investor_flows.SERVICE, {"output2": [given.flows()]})
    assert len(rows) == 12
    by_class = {row.pop("investor"): row for row in rows}
    assert by_class["individual"] == {
        "trading_day": DAY,
        "buy_volume": 120_000,
        "sell_volume": 90_000,
        "net_volume": 30_000,
        "buy_value": 6_000 * MILLION,
        "sell_value": 4_500 * MILLION,
        "net_value": 1_500 * MILLION,
    }
    assert by_class["foreign_registered"]["net_value"] == -500 * MILLION
    assert by_class["securities"]["sell_volume"] == 40_000
    assert by_class["pension"]["buy_value"] == 1_000 * MILLION
    assert not any(by_class["bank"][name] for name in ("buy_volume", "sell_value", "net_value"))


def test_net_flows_of_a_market_are_thousands_of_shares_and_million_krw() -> None:
    rows = one(market_flows.SERVICE, {"output": [given.market_flows()]}, "KOSPI")
    nets = {row["investor"]: (row["net_volume"], row["net_value"]) for row in rows}
    assert nets["individual"] == (-1_200_000, -85_000 * MILLION)
    assert nets["insurance"] == (301_000, -5_001 * MILLION)  # of opposite signs, and right


def test_programme_trades_are_in_shares_and_krw() -> None:
    assert one(program_trades.SERVICE, {"output": [given.PROGRAM]}) == [
        {
            "trading_day": DAY,
            "buy_volume": 30_000,
            "sell_volume": 42_000,
            "net_volume": -12_000,
            "buy_value": 1_500 * MILLION,
            "sell_value": 2_100 * MILLION,
            "net_value": -600 * MILLION,
        }
    ]


def test_short_sales_are_in_shares_and_krw_and_what_is_summed_up_is_left() -> None:
    (row,) = one(short_sales.SERVICE, {"output2": [given.SHORT]})
    assert row == {"trading_day": DAY, "short_volume": 3_000, "short_value": 150_001_000}


def test_a_day_without_short_sales_is_a_row_of_zeros() -> None:
    none = given.SHORT | {"ssts_cntg_qty": "0", "ssts_tr_pbmn": "0", "avrg_prc": "0"}
    (row,) = one(short_sales.SERVICE, {"output2": [none]})
    assert (row["short_volume"], row["short_value"]) == (0, 0)


@pytest.mark.parametrize("where", ["output1", "output2", "Output1"])
def test_lent_shares_are_worth_million_krw(where: str) -> None:
    (row,) = one(stock_loans.SERVICE, {where: [given.LOAN]})
    assert row == {
        "trading_day": DAY,
        "new": 3_000,
        "repaid": 1_000,
        "loan_balance": 40_001,
        "loan_amount": 2_000 * MILLION,
    }


@pytest.mark.parametrize(
    "oddity",
    [
        {"rmnd_stcn": "-700", "rmnd_amt": "-35"},  # 2,691 rows are negative
        {"stck_prpr": "0.00", "rmnd_amt": "2"},  # 281 rows have no price
        {"prdy_rmnd_vrss": "156000"},  # across a split
    ],
)
def test_odd_balances_that_kis_has_are_kept(oddity: dict[str, str]) -> None:
    (row,) = one(stock_loans.SERVICE, {"output1": [given.LOAN | oddity]})
    assert row["loan_amount"] == int(oddity.get("rmnd_amt", "2000")) * MILLION


def test_credit_is_ten_thousands_of_krw_by_the_day_of_the_deal() -> None:
    (row,) = one(credit_balances.SERVICE, {"output": [given.CREDIT]})
    assert row == {
        "trading_day": date(2026, 9, 17),
        "settled_on": date(2026, 9, 21),
        "new": 500,
        "repaid": 200,
        "loan_balance": 10_000,
        "loan_amount": 350 * MILLION,  # 70 % of the price
    }


def test_credit_of_a_day_is_asked_for_by_a_later_day_of_settlement() -> None:
    sent = credit_balances.SERVICE.parameters(CODE, DAY, DAY, "J")
    assert sent["FID_INPUT_DATE_1"] == "20261004"


def test_an_index_has_points_thousands_of_shares_and_million_krw() -> None:
    answer = {"output1": given.INDEX_NOW, "output2": [given.INDEX]}
    (row,) = one(index_candles.SERVICE, answer, "0001")
    assert row == {
        "trading_day": DAY,
        "index_name": "종합",
        "open": 4015.22,
        "high": 4033.1,
        "low": 4008.87,
        "close": 4028.95,
        "volume": 412_345_000,
        "trading_value": 11_203_344 * MILLION,
    }


def test_a_fund_differs_from_its_net_asset_value_in_percent() -> None:
    (row,) = one(etf_navs.SERVICE, {"output": [given.NAV]})
    assert row["nav"] == 41_102.35
    assert row["premium_rate"] == pytest.approx(-0.1273649)


def test_a_valuation_is_of_the_listed_shares() -> None:
    found = valuations.read_valuation({"output": given.VALUED}, CODE)
    assert found["foreign_rate"] == 30.0
    assert found["market_cap"] == 106_800 * 10**8
    assert (found["per"], found["eps"], found["fiscal_month"]) == (12.34, 5770.0, "12")


@pytest.mark.parametrize("per", ["", "0.00"])
def test_a_ratio_that_there_is_not_is_null(per: str) -> None:
    assert valuations.read_valuation({"output": given.VALUED | {"per": per}}, CODE)["per"] is None


def test_a_negative_ratio_is_kept() -> None:
    found = valuations.read_valuation({"output": given.VALUED | {"per": "-8.10"}}, CODE)
    assert found["per"] == -8.1


def test_a_stock_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no stock of this code"):
        valuations.read_valuation({"output": {"stck_prpr": "0"}}, CODE)


ROWS = {
    "investor_flows": (investor_flows.SERVICE, "output2", given.flows()),
    "market_flows": (market_flows.SERVICE, "output", given.market_flows()),
    "program_trades": (program_trades.SERVICE, "output", given.PROGRAM),
    "short_sales": (short_sales.SERVICE, "output2", given.SHORT),
    "stock_loans": (stock_loans.SERVICE, "output1", given.LOAN),
    "credit_balances": (credit_balances.SERVICE, "output", given.CREDIT),
    "index_candles": (index_candles.SERVICE, "output2", given.INDEX),
    "etf_navs": (etf_navs.SERVICE, "output", given.NAV),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_without_a_day_are_padding_and_one_row_may_stand_alone(name: str) -> None:
    service, where, row = ROWS[name]
    code = "0001" if name == "index_candles" else CODE
    now = {"output1": given.INDEX_NOW} if name == "index_candles" else {}
    blank = dict.fromkeys(row, "")
    assert len(service.read(now | {where: [row, blank]}, code)) == 1
    assert len(service.read(now | {where: row}, code)) == 1
    assert service.read(now | {where: []}, code) == []


WRONG: list[tuple[str, dict[str, str]]] = [
    ("investor_flows", {"prsn_ntby_qty": "30001"}),
    ("investor_flows", {"prsn_shnu_tr_pbmn": "6000000000"}),  # KRW where millions belong
    ("investor_flows", {"frgn_ntby_qty": "1"}),
    ("investor_flows", {"acml_tr_pbmn": "10000"}),  # as the portal has it: million KRW
    ("market_flows", {"prsn_ntby_tr_pbmn": "85000"}),
    ("market_flows", dict.fromkeys(given.market_flows(), "0") | {"stck_bsop_date": "20260922"}),
    ("program_trades", {"whol_smtn_ntby_qty": "12000"}),
    ("program_trades", {"acml_tr_pbmn": "2000000000"}),
    ("short_sales", {"ssts_tr_pbmn": "0"}),
    ("short_sales", {"avrg_prc": "0"}),
    ("short_sales", {"ssts_tr_pbmn": "150"}),
    ("short_sales", {"acml_tr_pbmn": "1000"}),
    ("stock_loans", {"rmnd_amt": "200000"}),
    ("stock_loans", {"stck_prpr": "4028.95"}),  # the index, of a whole market
    ("credit_balances", {"stlm_date": "20261021"}),
    ("index_candles", {"bstp_nmix_hgpr": "4000.00"}),
    ("etf_navs", {"nav": "0.00"}),
    ("etf_navs", {"nav_vrss_prpr": "52.35"}),
]


@pytest.mark.parametrize(("name", "spoilt"), WRONG, ids=[f"{n}-{next(iter(s))}" for n, s in WRONG])
def test_a_row_that_cannot_be_right_is_refused(name: str, spoilt: dict[str, str]) -> None:
    service, where, row = ROWS[name]
    code = "0001" if name == "index_candles" else CODE
    now = {"output1": given.INDEX_NOW} if name == "index_candles" else {}
    with pytest.raises(UnexpectedAnswer):
        service.read(now | {where: [row | spoilt]}, code)


@pytest.mark.parametrize(("name", "spoilt"), WRONG, ids=[f"{n}-{next(iter(s))}" for n, s in WRONG])
def test_one_row_that_cannot_be_right_takes_no_other_along(
    name: str, spoilt: dict[str, str]
) -> None:
    service, where, row = ROWS[name]
    code = "0001" if name == "index_candles" else CODE
    now = {"output1": given.INDEX_NOW} if name == "index_candles" else {}
    good, odd = service.read(now | {where: [row, row | spoilt]}, code)
    assert good == service.read(now | {where: [row]}, code)[0]
    assert set(odd) == {"trading_day", ODD}
    assert str(odd["trading_day"]) not in odd[ODD]


def test_a_row_without_a_figure_is_odd_and_one_without_a_readable_day_is_refused() -> None:
    row = given.flows()
    _, odd = investor_flows.SERVICE.read({"output2": [row, row | {"prsn_ntby_qty": ""}]}, CODE)
    assert odd[ODD] == "the answer lacks prsn_ntby_qty"
    with pytest.raises(UnexpectedAnswer, match="stck_bsop_date"):
        investor_flows.SERVICE.read({"output2": [row, row | {"stck_bsop_date": "yesterday"}]}, CODE)


def test_an_answer_about_another_index_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer, match="about the index 0001"):
        index_candles.SERVICE.read({"output1": given.INDEX_NOW, "output2": [given.INDEX]}, "1001")


def month(year: int, number: int, **figures: float | None) -> dict[str, Any]:
    return {"fiscal_month": date(year, number, 1), **figures}


def test_quarters_accumulate_within_the_fiscal_year() -> None:
    rows = [
        month(2026, 6, revenue=250.0, total_assets=900.0),
        month(2026, 3, revenue=100.0, total_assets=880.0),
        month(2025, 12, revenue=400.0, total_assets=870.0),
    ]
    found = single_quarters(rows, fiscal_end=12)
    assert [row["revenue"] for row in found] == [150.0, 100.0, None]
    # What stands on a day does not accumulate.
    assert [row["total_assets"] for row in found] == [900.0, 880.0, 870.0]


def test_the_first_quarter_of_a_year_that_ends_in_march_is_june() -> None:
    rows = [month(2026, 9, revenue=250.0), month(2026, 6, revenue=100.0)]
    assert [row["revenue"] for row in single_quarters(rows, fiscal_end=3)] == [150.0, 100.0]

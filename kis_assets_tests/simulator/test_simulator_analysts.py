"""Flows, lending, indices, statements and net asset values: units, windows and identities."""

from __future__ import annotations

import itertools
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from kis_assets.exchange import calendar
from kis_assets_tests.simulator.test_simulator_server import EVENING, MORNING, STOCK, Desk

FINANCE = "/uapi/domestic-stock/v1/finance/"
NAV = "/uapi/etfetn/v1/quotations/nav-comparison-daily-trend"
INDEX = {
    "FID_COND_MRKT_DIV_CODE": "U", "FID_INPUT_ISCD": "0001", "FID_INPUT_DATE_1": "20260101",
    "FID_INPUT_DATE_2": "20261118", "FID_PERIOD_DIV_CODE": "D",
}  # fmt: skip
MARKET = {
    "FID_COND_MRKT_DIV_CODE": "U", "FID_INPUT_ISCD": "0001", "FID_INPUT_ISCD_1": "KSP",
    "FID_INPUT_ISCD_2": "0001", "FID_INPUT_DATE_1": "20261117", "FID_INPUT_DATE_2": "20261117",
}  # fmt: skip
TOPS = ("prsn", "frgn", "orgn", "etc")
SEVEN = ("scrt", "ivtr", "bank", "insu", "mrbn", "fund")


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def investors(desk: Desk, day: str = "20261117", **changes: str) -> list[dict[str, str]]:
    asked = STOCK | {"FID_INPUT_DATE_1": day, "FID_ORG_ADJ_PRC": "", "FID_ETC_CLS_CODE": ""}
    return desk.get("investor-trade-by-stock-daily", asked | changes)["output2"]


def number(row: dict[str, str], name: str) -> int:
    return int(row[name])


def test_all_that_is_bought_is_sold_and_is_the_volume_of_the_day(desk: Desk) -> None:
    rows = investors(desk)
    assert len(rows) == 30
    for row in rows:
        assert sum(number(row, f"{top}_seln_vol") for top in TOPS) == number(row, "acml_vol")
        assert sum(number(row, f"{top}_shnu_vol") for top in TOPS) == number(row, "acml_vol")
        assert sum(number(row, f"{top}_ntby_qty") for top in TOPS) == 0
        # Values are million KRW beside a value of the day in KRW.
        sold = sum(number(row, f"{top}_seln_tr_pbmn") for top in TOPS)
        assert abs(sold - number(row, "acml_tr_pbmn") / 1_000_000) <= 4


def test_classes_add_up_to_their_totals(desk: Desk) -> None:
    for row in investors(desk):
        registered = number(row, "frgn_reg_ntby_qty") + number(row, "frgn_nreg_ntby_qty")
        assert number(row, "frgn_ntby_qty") == registered
        seven = sum(number(row, f"{name}_ntby_qty") for name in SEVEN)
        assert number(row, "orgn_ntby_qty") == seven + number(row, "pe_fund_ntby_vol")
        others = number(row, "etc_corp_ntby_vol") + number(row, "etc_orgt_ntby_vol")
        assert number(row, "etc_ntby_qty") == others


@pytest.mark.parametrize(
    ("clock", "is_refused"), [((15, 40, 59), True), ((15, 41, 0), False), ((9, 0, 0), True)]
)
@pytest.mark.parametrize("day", [18, 21])  # a Wednesday, a Saturday
def test_investors_of_today_are_refused_until_the_close(
    day: int, clock: tuple[int, int, int], *, is_refused: bool
) -> None:
    desk = Desk()
    desk.at = datetime(2026, 11, day, *clock, tzinfo=calendar.SEOUL)
    asked = STOCK | {"FID_ORG_ADJ_PRC": "", "FID_ETC_CLS_CODE": ""}
    today = {"FID_INPUT_DATE_1": f"202611{day}"}
    said = desk.get("investor-trade-by-stock-daily", asked | today)
    assert (said["rt_cd"] == "2") == is_refused
    if is_refused:
        assert (said["msg_cd"], said["msg1"].strip()) == ("OPSQ2001", "TIME LIMIT 00:00 ~ 15:40")
    yesterday = {"FID_INPUT_DATE_1": f"202611{day - 1}"}
    assert desk.get("investor-trade-by-stock-daily", asked | yesterday)["rt_cd"] == "0"


def test_figures_of_an_evening_may_change_until_five_past_nine() -> None:
    desk = Desk()
    desk.at = EVENING.replace(hour=20, minute=30)
    early = investors(desk, "20261118")[0]
    desk.at = EVENING.replace(hour=21, minute=5)
    late = investors(desk, "20261118")[0]
    assert early["acml_vol"] == late["acml_vol"]
    assert early["frgn_ntby_qty"] != late["frgn_ntby_qty"]
    desk.at = desk.at.replace(day=19, hour=7, minute=40)
    assert investors(desk, "20261118")[0]["frgn_ntby_qty"] == late["frgn_ntby_qty"]


def test_after_a_split_volumes_are_adjusted_and_what_investors_traded_is_not() -> None:
    desk = Desk()
    desk.at = datetime(2026, 11, 18, 22, tzinfo=calendar.SEOUL)
    first = desk.at.date() - timedelta(days=60)
    splits = [a for a in desk.market.actions(first, desk.at.date()) if a.kind == "split"]
    split = next(a for a in splits if a.ex_day <= desk.at.date() - timedelta(days=7))
    rows = investors(desk, "20261118", FID_INPUT_ISCD=split.code)
    before = next(row for row in rows if row["stck_bsop_date"] < f"{split.halted_from:%Y%m%d}")
    traded = sum(number(before, f"{top}_seln_vol") for top in TOPS)
    assert number(before, "acml_vol") == pytest.approx(traded / split.factor, abs=1)


def test_three_classes_of_today_are_blank_while_the_session_runs() -> None:
    desk = Desk()
    assert desk.at == MORNING
    rows = desk.get("inquire-investor", STOCK)["output"]
    assert len(rows) == 30
    assert (rows[0]["stck_bsop_date"], rows[0]["frgn_ntby_qty"]) == ("20261118", "")
    whole = investors(desk)[0]
    assert rows[1]["stck_bsop_date"] == whole["stck_bsop_date"]
    assert rows[1]["frgn_ntby_qty"] == whole["frgn_ntby_qty"]
    assert rows[1]["orgn_ntby_tr_pbmn"] == whole["orgn_ntby_tr_pbmn"]


def test_a_market_has_net_figures_in_thousands_of_shares(desk: Desk) -> None:
    rows = desk.get("inquire-investor-daily-by-market", MARKET)["output"]
    assert len(rows) == 300
    for row in rows[:50]:
        assert abs(sum(number(row, f"{top}_ntby_qty") for top in TOPS)) <= 3
        assert abs(sum(number(row, f"{top}_ntby_tr_pbmn") for top in TOPS)) <= 3
        assert "prsn_seln_vol" not in row


@pytest.mark.parametrize("changes", [{"FID_INPUT_ISCD_1": "XXX"}, {"FID_INPUT_ISCD_2": "1001"}])
def test_a_market_that_is_none_answers_with_zeros(desk: Desk, changes: dict[str, str]) -> None:
    said = desk.get("inquire-investor-daily-by-market", MARKET | changes)
    assert said["rt_cd"] == "0"
    assert {row["prsn_ntby_qty"] for row in said["output"]} == {"0"}


def test_programmes_buy_and_sell_in_shares_and_krw(desk: Desk) -> None:
    rows = desk.get("program-trade-by-stock-daily", STOCK | {"FID_INPUT_DATE_1": ""})["output"]
    assert len(rows) == 30
    for row, before in itertools.pairwise(rows):
        bought, sold = number(row, "whol_smtn_shnu_vol"), number(row, "whol_smtn_seln_vol")
        net = number(row, "whol_smtn_ntby_qty")
        assert bought - sold == net
        assert bought <= number(row, "acml_vol")
        assert net - number(before, "whol_smtn_ntby_qty") == number(row, "whol_ntby_vol_icdc")


def short_sales(desk: Desk, first: str, code: str = "005930") -> list[dict[str, str]]:
    span = {"FID_INPUT_DATE_1": first, "FID_INPUT_DATE_2": "20261118", "FID_INPUT_ISCD": code}
    return desk.get("daily-short-sale", STOCK | span)["output2"]


def test_short_sales_have_a_price_or_are_none(desk: Desk) -> None:
    rows = short_sales(desk, "")
    assert len(rows) == 100
    assert rows[0]["stck_bsop_date"] == "20261117"  # that of today comes tomorrow
    for row in rows:
        quantity, value = number(row, "ssts_cntg_qty"), number(row, "ssts_tr_pbmn")
        price = number(row, "avrg_prc")
        assert (quantity == 0) == (value == 0) == (price == 0)
        assert quantity * price == value
        if quantity:
            assert number(row, "stck_lwpr") <= price <= number(row, "stck_hgpr")


def test_sums_of_short_sales_depend_on_the_first_day_asked_for(desk: Desk) -> None:
    long, short = short_sales(desk, "20261001")[0], short_sales(desk, "20261110")[0]
    assert long["ssts_cntg_qty"] == short["ssts_cntg_qty"]
    assert number(long, "acml_ssts_cntg_qty") > number(short, "acml_ssts_cntg_qty")


def loans(desk: Desk, code: str, division: str = "3") -> list[dict[str, str]]:
    asked = {"MRKT_DIV_CLS_CODE": division, "MKSC_SHRN_ISCD": code, "CTS": ""}
    span = {"START_DATE": "20200101", "END_DATE": "20261118"}
    return desk.get("daily-loan-trans", asked | span)["output1"]


def test_a_balance_of_lent_shares_is_the_one_before_and_what_changed(desk: Desk) -> None:
    rows = loans(desk, "005930")
    assert len(rows) == 100
    for row, before in itertools.pairwise(rows):
        change = number(row, "new_stcn") - number(row, "rdmp_stcn")
        assert change == number(row, "prdy_rmnd_vrss")
        assert number(row, "rmnd_stcn") == number(before, "rmnd_stcn") + change
        worth = number(row, "rmnd_stcn") * float(row["stck_prpr"]) / 1_000_000
        assert abs(worth - number(row, "rmnd_amt")) <= 1


def test_lending_asked_for_a_market_ignores_the_stock(desk: Desk) -> None:
    assert loans(desk, "005930", "1") == loans(desk, "000660", "1")
    assert loans(desk, "005930") != loans(desk, "000660")


def test_some_stocks_have_negative_balances(desk: Desk) -> None:
    codes = [stock.code for stock in desk.market.stocks(desk.at.date())[:150]]
    lowest = [
        number(row, "rmnd_stcn") for code in codes if (rows := loans(desk, code)) for row in rows
    ]
    assert min(lowest) < 0


def credit(desk: Desk, day: str, code: str = "005930") -> list[dict[str, str]]:
    asked = {"FID_COND_SCR_DIV_CODE": "20476", "FID_INPUT_DATE_1": day, "FID_INPUT_ISCD": code}
    return desk.get("daily-credit-balance", STOCK | asked)["output"]


def test_credit_is_asked_for_by_day_of_settlement_and_three_sessions_old(desk: Desk) -> None:
    rows = credit(desk, "20261118")
    assert len(rows) == 30
    assert (rows[0]["deal_date"], rows[0]["stlm_date"]) == ("20261113", "20261117")
    for row, before in itertools.pairwise(rows):
        change = number(row, "whol_loan_new_stcn") - number(row, "whol_loan_rdmp_stcn")
        rest = number(row, "whol_loan_rmnd_stcn")
        assert rest == number(before, "whol_loan_rmnd_stcn") + change
        # Money in ten thousand KRW: three quarters of the price are lent.
        lent = number(row, "whol_loan_rmnd_amt") * 10_000 / rest / number(row, "stck_prpr")
        assert 0.7 < lent < 0.8


def test_a_few_stocks_have_no_credit_at_all(desk: Desk) -> None:
    stocks = [stock.code for stock in desk.market.stocks(desk.at.date())[:150]]
    without = [code for code in stocks if not credit(desk, "20261118", code)]
    assert 0 < len(without) < 15


def test_an_index_is_free_of_splits_and_its_bars_have_no_change(desk: Desk) -> None:
    said = desk.get("inquire-daily-indexchartprice", INDEX)
    rows = said["output2"]
    assert said["output1"]["hts_kor_isnm"] == "종합"
    assert len(rows) == 50
    assert not [name for name in rows[0] if "vrss" in name or "ctrt" in name]
    for row in rows:
        opened, high, low, close = (
            float(row[f"bstp_nmix_{name}"]) for name in ("oprc", "hgpr", "lwpr", "prpr")
        )
        assert low <= min(opened, close) <= max(opened, close) <= high
    closes = [float(row["bstp_nmix_prpr"]) for row in rows]
    assert max(abs(a / b - 1) for a, b in itertools.pairwise(closes)) < 0.06


@pytest.mark.parametrize(("code", "market"), [("0001", "KOSPI"), ("1001", "KOSDAQ")])
@pytest.mark.slow
def test_an_index_trades_about_what_its_stocks_do(desk: Desk, code: str, market: str) -> None:
    """Though its course is that of thirty stocks."""
    rows = desk.get("inquire-daily-indexchartprice", INDEX | {"FID_INPUT_ISCD": code})["output2"]
    first, last = (date.fromisoformat(rows[place]["stck_bsop_date"]) for place in (-1, 0))
    stocks = [it for it in desk.market.stocks(last) if (it.market, it.group) == (market, "ST")]
    traded = sum(
        bar.trading_value for it in stocks for bar in desk.market.bars(it.code, first, last)
    )
    told = sum(number(row, "acml_tr_pbmn") for row in rows) * 1_000_000
    assert 0.6 < told / traded < 1.6


def test_bars_of_kosdaq_150_come_under_another_code_than_its_master_has(desk: Desk) -> None:
    assert (
        desk.get("inquire-daily-indexchartprice", INDEX | {"FID_INPUT_ISCD": "3003"})["output2"]
        == []
    )
    other = desk.get("inquire-daily-indexchartprice", INDEX | {"FID_INPUT_ISCD": "2203"})
    assert other["output1"]["hts_kor_isnm"] == "KOSDAQ150"


def statements(desk: Desk, name: str, quarterly: str) -> list[dict[str, Any]]:
    return desk.get(FINANCE + name, STOCK | {"FID_DIV_CLS_CODE": quarterly})["output"]


def test_quarters_accumulate_within_a_fiscal_year(desk: Desk) -> None:
    rows = statements(desk, "income-statement", "1")
    assert len(rows) == 30
    for row, before in itertools.pairwise(rows):
        if row["stac_yymm"][4:] != "03":
            assert float(row["sale_account"]) > float(before["sale_account"])
        gross = float(row["sale_account"]) - float(row["sale_cost"])
        assert float(row["sale_totl_prfi"]) == gross
        assert row["depr_cost"] == "99.99"  # not provided


def test_a_balance_sheet_balances(desk: Desk) -> None:
    for row in statements(desk, "balance-sheet", "0"):
        assets = float(row["total_aset"])
        assert row["stac_yymm"].endswith("12")
        assert assets == float(row["cras"]) + float(row["fxas"])
        assert assets == float(row["total_lblt"]) + float(row["total_cptl"])


def test_what_a_quote_says_per_share_is_of_the_last_full_year(desk: Desk) -> None:
    quote = desk.get("inquire-price", STOCK)["output"]
    year = statements(desk, "financial-ratio", "0")[0]
    assert float(quote["eps"]) == float(year["eps"])
    assert float(quote["bps"]) == float(year["bps"])
    if float(quote["eps"]) > 0:
        per = int(quote["stck_prpr"]) / float(quote["eps"])
        assert float(quote["per"]) == pytest.approx(per, abs=0.02)


def test_a_fund_stands_beside_its_net_asset_value(desk: Desk) -> None:
    fund = next(stock for stock in desk.market.stocks(desk.at.date()) if stock.group == "EF")
    span = {"FID_INPUT_DATE_1": "20260101", "FID_INPUT_DATE_2": "20261118"}
    rows = desk.get(NAV, STOCK | span | {"FID_INPUT_ISCD": fund.code})["output"]
    assert len(rows) == 100
    for row in rows:
        close, nav = int(row["stck_clpr"]), float(row["nav"])
        assert float(row["nav_vrss_prpr"]) == pytest.approx(close - nav, abs=0.01)
        assert float(row["dprt"]) == pytest.approx((close / nav - 1) * 100, abs=0.01)
    assert desk.get(NAV, STOCK | span)["output"] == []  # a share has none


def test_a_stock_that_was_delisted_is_answered_and_an_unknown_one_has_no_rows(desk: Desk) -> None:
    day = desk.at.date()
    listed = {stock.code for stock in desk.market.stocks(day)}
    gone = next(
        stock.code
        for stock in desk.market.stocks(day - timedelta(days=200))
        if stock.code not in listed
    )
    asked: dict[str, str] = {"FID_INPUT_ISCD": gone}
    assert len(investors(desk, "20260501", **asked)) == 30
    assert loans(desk, gone)
    assert investors(desk, "20261117", FID_INPUT_ISCD="999999") == []


def test_the_virtual_server_has_indices_and_three_classes_alone() -> None:
    virtual = Desk(environment="virtual")
    assert virtual.get("inquire-daily-indexchartprice", INDEX)["rt_cd"] == "0"
    assert virtual.get("inquire-investor", STOCK)["rt_cd"] == "0"
    assert virtual.get("daily-short-sale", STOCK)["msg_cd"] == "OPSQ0002"

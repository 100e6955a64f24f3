"""Corporate actions: the depository's lists by the day they take effect, and the chart's marks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from typing import Any, cast

import polars as pl
import pytest

from kis_assets.defs.assets.corporate_actions import unexplained, with_confirmed_ratios
from kis_assets.defs.checks.check import Window
from kis_assets.defs.checks.daily_candles import moved_bases_have_an_action
from kis_assets.defs.resources import open_lake
from kis_assets.errors import RateLimited, UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.kis.action_lists import ACTION_LISTS, FACE_VALUES, MERGERS, REDUCTIONS, short_code
from kis_assets.kis.client import Client
from kis_assets.kis.corporate_actions import announced, read_page
from kis_assets.kis.daily_candles import read_daily_candles
from kis_assets.kis.endpoint import Endpoint
from kis_assets.kis.fields import any_day
from kis_assets.lake.base_prices import moved_bases
from kis_assets.lake.lake import Scope
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server import services
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import CORPORATE_ACTIONS, DAILY_CANDLES
from kis_assets_tests.conftest import EVENING, market_at
from kis_assets_tests.support.in_process import checks, failure, lake, materialize, point_at, rows

pytestmark = pytest.mark.usefixtures("published_when_read")

MONTH = date(2026, 3, 1)
KEY = MONTH.isoformat()
LISTS = {asked.endpoint.name: asked for asked in ACTION_LISTS}

SPLIT = {
    "record_date": "20261012", "sht_cd": "900110", "isin_name": "가상전자",
    "inter_bf_face_amt": "5000", "inter_af_face_amt": "500",
    "td_stop_dt": "2026/10/08 ~ 2026/10/14", "list_dt": "2026/10/15",
}  # fmt: skip
BONUS = {
    "record_date": "20261012", "sht_cd": "900110", "fix_rate": "50.00", "right_dt": "2026/10/08",
    "list_date": "2026/10/30", "tot_issue_stk_qty": "1000", "issue_stk_qty": "500",
}  # fmt: skip
DIVIDEND = {
    "record_date": "20261231", "sht_cd": "900110", "divi_kind": "결산",
    "per_sto_divi_amt": "      361", "divi_rate": "0.50", "stk_divi_rate": "0.00",
}  # fmt: skip


def read(name: str, row: dict[str, str], **changes: str) -> list[dict[str, Any]]:
    return read_page({"output1": [row | changes]}, LISTS[name]).rows


# One row of a list


def test_a_face_value_that_falls_is_a_split_on_the_day_after_the_halt() -> None:
    (action,) = read("rev-split", SPLIT)
    assert (action["kind"], action["ratio"]) == ("split", 10)
    assert (action["effective_on"], action["effective_from"]) == (date(2026, 10, 15), "listed_on")
    assert action["record_on"] == date(2026, 10, 12)
    assert action["stop_period"] == "2026/10/08 ~ 2026/10/14"


def test_a_face_value_that_rises_is_a_reverse_split() -> None:
    (action,) = read("rev-split", SPLIT, inter_bf_face_amt="100", inter_af_face_amt="500")
    assert (action["kind"], action["ratio"]) == ("reverse_split", 0.2)


def test_a_face_value_that_is_not_stated_has_no_ratio() -> None:
    (action,) = read("rev-split", SPLIT, inter_af_face_amt=" ")
    assert (action["kind"], action["ratio"]) == ("other", None)


def test_a_bonus_issue_acts_on_the_ex_rights_day() -> None:
    (action,) = read("bonus-issue", BONUS)
    assert (action["kind"], action["ratio"]) == ("bonus_issue", 1.5)
    assert (action["effective_on"], action["effective_from"]) == (date(2026, 10, 8), "ex_on")
    assert action["listed_on"] == date(2026, 10, 30)


@pytest.mark.parametrize(
    ("issued", "bonus", "rights"),
    [
        ({}, 1.5, 1.5),
        # 20 % were offered and 8 of 1,000 taken; a bonus goes to all but the company itself.
        ({"fix_rate": " 20.00", "issue_stk_qty": "       8"}, 1.2, 1.008),
        ({"fix_rate": ""}, 1.5, 1.5),
        ({"tot_issue_stk_qty": "", "issue_stk_qty": ""}, 1.5, 1.5),
        ({"issue_stk_qty": "0"}, 1.5, 1.5),
        ({"issue_stk_qty": "", "fix_rate": "0.00"}, None, None),
        ({"issue_stk_qty": "-5", "fix_rate": "-1"}, None, None),
    ],
)
def test_a_bonus_counts_by_its_rate_and_a_rights_issue_by_its_shares(
    issued: dict[str, str], bonus: float | None, rights: float | None
) -> None:
    assert read("bonus-issue", BONUS, **issued)[0]["ratio"] == bonus
    assert read("paidin-capin", BONUS, **issued)[0]["ratio"] == rights


@pytest.mark.parametrize(("name", "row"), [("bonus-issue", BONUS), ("paidin-capin", BONUS)])
def test_without_its_own_day_an_action_stands_on_the_record_day(
    name: str, row: dict[str, str]
) -> None:
    (action,) = read(name, row, right_dt=" ")
    assert (action["effective_on"], action["effective_from"]) == (date(2026, 10, 12), "record_on")
    (action,) = read("rev-split", SPLIT, list_dt="")
    assert (action["effective_on"], action["effective_from"]) == (date(2026, 10, 12), "record_on")


def test_a_dividend_acts_on_the_ex_dividend_day() -> None:
    """Closed on 31 December: the last trading day is the 30th, and to buy on it is too late."""
    (action,) = read("dividend", DIVIDEND)
    assert (action["kind"], action["amount"]) == ("cash_dividend", 361)
    assert (action["effective_on"], action["effective_from"]) == (date(2026, 12, 29), "computed")


@pytest.mark.parametrize("amount", ["361", "      361", "000000000361", "361.00"])
def test_an_amount_may_be_padded(amount: str) -> None:
    (action,) = read("dividend", DIVIDEND, per_sto_divi_amt=amount, face_val="000000500")
    assert (action["amount"], action["face_value_before"]) == (361, 500)


def test_a_dividend_in_cash_and_shares_is_two_actions() -> None:
    both = read("dividend", DIVIDEND, stk_divi_rate="5.00")
    assert [action["kind"] for action in both] == ["stock_dividend", "cash_dividend"]
    assert both[0]["ratio"] == 1.05
    only = read("dividend", DIVIDEND, stk_divi_rate="5.00", per_sto_divi_amt="0")
    assert [action["kind"] for action in only] == ["stock_dividend"]


@pytest.mark.parametrize(
    ("rate", "way", "ratio"),
    [
        (" 0.40", "곱하기", 0.4),
        ("8.00", "나누기", 0.125),
        (" 1.00", "곱하기", 1.0),  # face value alone
        (" 1.00", "나누기", 1.0),
        ("5.00", "곱하기", None),
        ("0.40", "나누기", None),
        ("0.00", "곱하기", None),
        ("0.00", "나누기", None),
        ("-0.40", "곱하기", None),
        ("", "곱하기", None),
        ("80.00", "병합", None),
        ("80.00", "", None),
    ],
)
def test_a_reduction_multiplies_or_divides_as_it_says(
    rate: str, way: str, ratio: float | None
) -> None:
    row = {"record_date": "20261012", "sht_cd": "900110", "reduce_cap_rate": rate, "comp_way": way}
    (action,) = read("cap-dcrs", row)
    assert (action["kind"], action["ratio"]) == ("capital_reduction", ratio)


def test_what_was_announced_of_a_reduction_is_kept() -> None:
    row = {
        "record_date": "20261012",
        "sht_cd": "900110",
        "list_dt": "",
        "td_stop_dt": "2026/10/09 ~",
    }
    (action,) = read("cap-dcrs", row, reduce_cap_rate=" 0.40", comp_way="곱하기")
    assert (action["rate"], action["announced_ratio"]) == (0.4, "0.4 곱하기")
    assert (action["effective_on"], action["effective_from"]) == (date(2026, 10, 12), "record_on")
    assert read("cap-dcrs", row)[0]["announced_ratio"] is None


@pytest.mark.parametrize(
    ("reason", "kind"), [("합병", "merger"), ("인적분할", "spin_off"), ("분할합병", "spin_off")]
)
def test_mergers_and_splits_of_companies_are_told_apart(reason: str, kind: str) -> None:
    row = {"record_date": "20261012", "sht_cd": "900110", "merge_type": reason}
    assert read("merger-split", row)[0]["kind"] == kind


@pytest.mark.parametrize("word", ["20261015", "2026/10/15", "2026-10-15", "2026.10.15"])
def test_days_come_with_and_without_separators(word: str) -> None:
    assert any_day(word) == date(2026, 10, 15)
    assert any_day("0000/00/00") is None


@pytest.mark.parametrize("word", ["005930", "A005930"])
def test_a_code_of_up_to_nine_characters_is_cut_to_six(word: str) -> None:
    assert short_code(word) == "005930"
    assert read("rev-split", SPLIT, sht_cd=f"{word:<9}")[0]["stock_code"] == "005930"


@pytest.mark.parametrize(
    "wrong",
    [
        {"sht_cd": " "},
        {"inter_bf_face_amt": "many"},
        {"list_dt": "soon"},
        {"list_dt": "", "record_date": ""},
    ],
)
def test_a_row_that_cannot_be_right_is_named(wrong: dict[str, str]) -> None:
    with pytest.raises(UnexpectedAnswer):
        read("rev-split", SPLIT, **wrong)


# A month


def test_a_month_holds_what_takes_effect_in_it(simulator: Simulator, source: KISDataSource) -> None:
    """Announced under their record days, which may lie in another month."""
    found = source.tables.corporate_actions(MONTH)
    last = date(2026, 3, 31)
    expected = {
        (action.ex_day, action.code)
        for action in simulator.market.actions(date(2026, 1, 1), date(2026, 4, 30))
        if MONTH <= action.ex_day <= last
    }
    assert set(found.select("effective_on", "stock_code").rows()) == expected
    assert set(found["kind"]) == {
        *("split", "reverse_split", "bonus_issue", "rights_issue", "capital_reduction")
    }


def test_ratios_are_the_markets_own(
    simulator: Simulator, source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    ex_days = {it.code: it for it in simulator.market.actions(MONTH, date(2026, 3, 31))}

    def divide(given: Any) -> None:
        for row in given.payload["output1"]:
            if (it := ex_days.get(row["sht_cd"])) is not None:
                divisor = it.shares_before / it.shares_after
                row |= {"reduce_cap_rate": f"{divisor:6.2f}", "comp_way": "나누기"}

    _change(monkeypatch, REDUCTIONS, divide)
    found = {(row["effective_on"], row["stock_code"]): row["ratio"]
             for row in source.tables.corporate_actions(MONTH).iter_rows(named=True)}  # fmt: skip
    for action in simulator.market.actions(MONTH, date(2026, 3, 31)):
        if action.ex_day >= MONTH:
            ratio = action.shares_after / action.shares_before
            assert found[action.ex_day, action.code] == pytest.approx(ratio, rel=1e-3)


def test_pages_are_followed_to_the_end(
    simulator: Simulator, source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.simulator.wire.corporate_actions._ACTIONS_PAGE", 100)
    found = source.tables.corporate_actions(date(2025, 12, 1))
    dividends = found.filter(pl.col("kind") == "cash_dividend")
    assert dividends.height > 100
    assert dividends["stock_code"].n_unique() == dividends.height
    assert simulator.calls("dividend") > 4
    assert set(dividends["effective_on"]) == {date(2025, 12, 29)}


def test_a_page_refused_half_way_is_not_the_end(
    simulator: Simulator, source: KISDataSource
) -> None:
    simulator.faults.refused = When(path="dividend", skip=1)
    with pytest.raises(RateLimited):
        source.tables.corporate_actions(date(2025, 12, 1))


def _change(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, change: Any) -> None:
    service = services.SERVICES[endpoint.path]

    def answer(request: Any) -> Any:
        given = service.answer(request)
        change(given)
        return given

    monkeypatch.setitem(services.SERVICES, endpoint.path, replace(service, answer=answer))


def test_a_page_that_comes_twice_is_named(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    _change(monkeypatch, FACE_VALUES, lambda given: setattr(given, "tr_cont", "M"))
    with pytest.raises(UnexpectedAnswer, match=r"rev-split .*comes twice"):
        source.tables.corporate_actions(MONTH)


class Depository:
    """A server that ends each list at so many rows, without a word of whether there are more."""

    def __init__(self, by_day: dict[date, int], most: int = 100, tr_cont: str = "") -> None:
        self.rows = [
            {"record_date": f"{day:%Y%m%d}", "sht_cd": f"{number:06d}", "per_sto_divi_amt": "10"}
            for day, count in by_day.items()
            for number in range(count)
        ]
        self.most, self.tr_cont = most, tr_cont
        self.spans: list[tuple[str, str]] = []

    def ask(self, _: Endpoint, parameters: dict[str, str], read: Any, **__: Any) -> Any:
        first, last = parameters["F_DT"], parameters["T_DT"]
        self.spans.append((first, last))
        rows = [row for row in self.rows if first <= row["record_date"] <= last]
        return read({"output1": rows[: self.most], "tr_cont": self.tr_cont})

    def of_a_month(self) -> list[Any]:
        return announced(cast("Client", self), LISTS["dividend"], MONTH, date(2026, 3, 31))


@pytest.mark.parametrize("tr_cont", ["", "D"])
@pytest.mark.parametrize("a_day", [3, 4, 10, 60])
def test_a_list_that_ends_at_100_rows_is_asked_for_in_shorter_spans(
    a_day: int, tr_cont: str
) -> None:
    """Be it that it has no more than these, or that the server gives no more."""
    days = calendar.trading_days(MONTH, date(2026, 3, 31))
    server = Depository({day: a_day for day in days}, tr_cont=tr_cont)
    assert len(server.of_a_month()) == a_day * len(days)
    assert (len(server.spans) > 1) == (a_day * len(days) >= 90)


@pytest.mark.parametrize("has", [99, 100, 1_000])
def test_a_day_that_is_as_long_as_a_cut_list_is_kept_and_warned_of(
    has: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = Depository({date(2026, 3, 10): 5, date(2026, 3, 31): has})
    assert len(server.of_a_month()) == 5 + min(has, 100)
    (warning,) = caplog.messages
    assert f"dividend of 2026-03-31 may be cut: KIS gives {min(has, 100)}" in warning


def test_a_list_whose_pages_are_told_of_is_asked_for_once(
    simulator: Simulator, source: KISDataSource, caplog: pytest.LogCaptureFixture
) -> None:
    """The year's last day has hundreds of dividends: more than two pages."""
    found = source.tables.corporate_actions(date(2025, 12, 1))
    assert found.filter(pl.col("kind") == "cash_dividend").height > 200
    assert caplog.messages == []


def test_rows_of_one_key_are_numbered_and_equal_rows_are_one(
    source: KISDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = {"record_date": "20260312", "sht_cd": "005930", "merge_type": "합병",
              "list_dt": "2026/03/12"}  # fmt: skip
    pages = [merged | {"opp_cust_nm": name} for name in ("가", "나", "나")]
    unlisted = merged | {"sht_cd": "A12345678"}
    _change(
        monkeypatch,
        MERGERS,
        lambda given: given.payload.update(output1=[*pages, unlisted]),
    )
    found = source.tables.corporate_actions(MONTH).filter(pl.col("kind") == "merger")
    assert found.select("counterparty", "sequence").rows() == [("가", 0), ("나", 1)]


# The chart's marks


def candle(**values: Any) -> dict[str, Any]:
    return {
        "trading_day": date(2026, 3, 10), "stock_code": "005930", "open": 1, "high": 1, "low": 1,
        "close": 1, "volume": 1, "trading_value": 1, "change": 0, "base_price": 1,
        "ex_flag": "00", "split_ratio": 0.0, "revaluation": "00", "has_traded": True,
        "is_final": True, "source": "kis", "fetched_at": None, **values,
    }  # fmt: skip


DAYS = (date(2026, 3, 9), date(2026, 3, 10))


def found(
    *candles: dict[str, Any], announced: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is announced once the base prices have judged it, and what the chart shows besides."""
    rows = pl.DataFrame(list(candles), schema=DAILY_CANDLES.schema)
    moved = moved_bases(rows.lazy(), DAYS[1], DAYS[1]).collect()
    known = CORPORATE_ACTIONS.empty() if announced is None else announced
    shown = rows.filter(pl.col("trading_day") == DAYS[1])
    return with_confirmed_ratios(known, moved), unexplained(shown, moved, known, calendar.now())


def marks(*candles: dict[str, Any], announced: pl.DataFrame | None = None) -> pl.DataFrame:
    return found(*candles, announced=announced)[1]


def action(kind: str, **values: Any) -> pl.DataFrame:
    row = dict.fromkeys(CORPORATE_ACTIONS.schema) | {
        "effective_on": DAYS[1], "stock_code": "005930", "kind": kind, "origin": "a list",
        "sequence": 0, "effective_from": "listed_on", "source": "kis",
    }  # fmt: skip
    return pl.DataFrame([row | values], CORPORATE_ACTIONS.schema)


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ({"ex_flag": "01"}, "rights_issue"),
        ({"ex_flag": "05"}, "cash_dividend"),
        ({"ex_flag": "04"}, "other"),
        ({"revaluation": "02"}, "capital_reduction"),
        ({"split_ratio": 0.5}, "other"),
    ],
)
def test_a_mark_in_the_chart_is_an_action(mark: dict[str, Any], kind: str) -> None:
    (row,) = marks(candle(**mark), candle(stock_code="000660")).iter_rows(named=True)
    assert (row["kind"], row["origin"], row["ratio"]) == (kind, "daily_chart", None)
    assert row["base_ratio"] == mark.get("split_ratio")
    assert row["effective_on"] == date(2026, 3, 10)


def test_a_mark_that_an_announcement_explains_is_no_action_of_its_own() -> None:
    announced = action("bonus_issue")
    assert marks(candle(ex_flag="01"), announced=announced).is_empty()
    other_day = announced.with_columns(effective_on=pl.lit(DAYS[0]))
    assert marks(candle(ex_flag="01"), announced=other_day).height == 1


# Base prices that moved


def two(base: int, close: int = 3_000, **before: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A halted session at a close, and the next one on a base price."""
    halted = candle(**{"trading_day": DAYS[0], "close": close, "volume": 0} | before)
    return halted, candle(base_price=base, close=base)


def test_a_base_that_moves_without_any_mark_is_an_action_of_unknown_kind() -> None:
    (row,) = marks(*two(1_500)).iter_rows(named=True)
    assert (row["effective_on"], row["kind"], row["origin"]) == (DAYS[1], "other", "daily_chart")
    assert (row["ratio"], row["base_ratio"], row["effective_from"]) == (None, 0.5, "chart")


def test_kis_shows_a_halt_and_a_moved_base_in_its_own_words_without_a_mark() -> None:
    """The halted day has neither mark nor sign; the day after it, a price limit up, none either."""
    unmarked = {
        "stck_oprc": "0", "stck_hgpr": "0", "stck_lwpr": "0", "acml_vol": "0", "acml_tr_pbmn": "0",
        "flng_cls_code": "00", "prtt_rate": "0.00", "mod_yn": "N", "revl_issu_reas": "",
    }  # fmt: skip
    halted = {"stck_bsop_date": "20260309", "stck_clpr": "3000", "prdy_vrss_sign": "0"}
    back = {"stck_bsop_date": "20260310", "stck_clpr": "1950", "prdy_vrss_sign": "1"}
    bars = [
        unmarked | back | {"prdy_vrss": "450", "acml_vol": "10"},
        unmarked | halted | {"prdy_vrss": "0"},
    ]
    answered = {"output1": {"stck_prpr": "1950", "stck_shrn_iscd": "005930"}, "output2": bars}
    candles = read_daily_candles(answered, "005930", *DAYS, None)
    assert [it["has_traded"] for it in candles] == [True, False]
    (row,) = marks(*(candle(**it) for it in candles)).iter_rows(named=True)
    assert (row["effective_on"], row["kind"], row["base_ratio"]) == (DAYS[1], "other", 0.5)


@pytest.mark.parametrize(
    ("candles", "why"),
    [
        (two(2_995), "a tick is rounding"),
        (two(1_500, is_final=False), "the close before may be the after-market's"),
        (two(1_500, trading_day=date(2026, 3, 6)), "it is not of the session before"),
        (two(1_500)[1:], "nothing is known of the session before"),
    ],
)
def test_a_base_that_has_not_moved_for_sure_is_no_action(
    candles: tuple[dict[str, Any], ...], why: str
) -> None:
    assert marks(*candles).is_empty(), why


def test_a_moved_base_that_an_announcement_explains_is_no_action_of_its_own() -> None:
    assert marks(*two(1_500), announced=action("split")).is_empty()
    paid = action("cash_dividend")
    assert marks(*two(1_500), announced=paid)["kind"].to_list() == ["other"], "it moves no base"


def test_a_mark_without_a_ratio_has_that_of_the_base() -> None:
    before, day = two(1_500)
    (row,) = marks(before, day | {"ex_flag": "01"}).iter_rows(named=True)
    assert (row["kind"], row["base_ratio"]) == ("rights_issue", 0.5)


@pytest.mark.parametrize(
    ("announced", "rate", "base", "ratio"),
    [
        (0.2, 0.2, 15_000, 0.2),
        (0.2, 0.2, 9_000, 0.2),  # set by an auction
        (0.2, 0.2, 3_000, 0.2),  # not moved: the day has been put off
        (None, 5.0, 15_000, 0.2),  # a factor of 5 multiplies nothing: it divides
        (None, 80.0, 15_000, 0.2),  # neither: a percentage
        (None, 2.0, 6_000, 0.5),
        (None, 2.0, 3_060, 0.98),
        (0.8, 0.8, 15_000, None),  # nothing that can be meant
        (None, None, 15_000, None),
        (None, -1.0, 15_000, None),
    ],
)
def test_a_base_price_judges_what_a_reduction_announced(
    announced: float | None, rate: float | None, base: int, ratio: float | None
) -> None:
    reduction = action("capital_reduction", ratio=announced, rate=rate)
    (row,) = found(*two(base), announced=reduction)[0].iter_rows(named=True)
    assert row["ratio"] == (ratio if ratio is None else pytest.approx(ratio))


def test_other_actions_and_days_with_several_are_not_judged() -> None:
    split = action("split", ratio=10.0)
    assert found(*two(15_000), announced=split)[0]["ratio"].to_list() == [10.0]
    both = pl.concat([action("capital_reduction", ratio=0.8, rate=0.8), split])
    assert found(*two(15_000), announced=both)[0]["ratio"].to_list() == [0.8, 10.0]


# The asset


@pytest.fixture
def codes(simulator: Simulator) -> str:
    """Two stocks with an action in the month."""
    found = simulator.market.actions(MONTH, date(2026, 3, 17))
    return ",".join(sorted({it.code for it in found if MONTH <= it.ex_day <= date(2026, 3, 17)}))


def test_a_month_of_actions_is_stored_and_its_checks_pass(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, codes: str
) -> None:
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=codes)
    assert materialize("daily_candles", KEY).success
    result = materialize("corporate_actions", KEY)
    assert result.success
    assert all(checks(result).values())
    stored = rows(CORPORATE_ACTIONS)
    assert set(stored["stock_code"]) == set(codes.split(","))
    assert "daily_chart" not in set(stored["origin"])
    assert set(stored["source"]) == {"kis"}


@pytest.mark.slow
def test_a_split_leaves_history_raw_rebases_the_adjusted_view_and_breaks_no_check(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = next(
        it for it in simulator.market.actions(MONTH, date(2026, 3, 17))
        if it.kind == "split" and MONTH <= it.ex_day <= date(2026, 3, 17)
    )  # fmt: skip
    before = datetime.combine(
        calendar.previous_trading_day(split.ex_day), time(20, 50), calendar.SEOUL
    )
    for now in (before, EVENING):
        server = Simulator(market_at(now), rate_limit=0, token_window=0.0)
        point_at(server, monkeypatch, now, KIS_STOCK_CODES=split.code)
        result = materialize("daily_candles", KEY)
        assert result.success
        assert {name for name, passed in checks(result).items() if not passed} <= UNCOMPARED
        if now == before:
            raw = rows(DAILY_CANDLES).drop("fetched_at")
    again = rows(DAILY_CANDLES).drop("fetched_at")
    assert again.filter(pl.col("trading_day") < split.ex_day).equals(raw)

    result = materialize("corporate_actions", KEY)
    assert all(checks(result).values())
    (recorded,) = rows(CORPORATE_ACTIONS).select("effective_on", "kind", "ratio").rows()
    assert recorded == (split.ex_day, "split", split.factor.denominator)
    adjusted = open_lake(Settings.load()).read(
        "SELECT a.trading_day, a.close / c.close AS factor FROM daily_candles_adjusted a "
        "JOIN daily_candles c USING (trading_day, stock_code)"
    )
    is_before = adjusted["trading_day"] < split.ex_day
    assert adjusted.filter(is_before)["factor"].unique().to_list() == [float(split.factor)]
    assert adjusted.filter(~is_before)["factor"].unique().to_list() == [1.0]


UNCOMPARED = {"universe_is_covered"}
"""What cannot hold where no stock master of the day is stored."""


def test_the_virtual_server_has_the_chart_alone_and_keeps_what_was_announced(
    simulator: Simulator, market: ModelMarket, monkeypatch: pytest.MonkeyPatch, codes: str
) -> None:
    virtual = Simulator(market, environment="virtual", rate_limit=0, token_window=0.0)
    point_at(virtual, monkeypatch, KIS_STOCK_CODES=codes)
    assert materialize("daily_candles", KEY).success
    assert materialize("corporate_actions", KEY).success
    alone = rows(CORPORATE_ACTIONS)
    assert set(alone["origin"]) == {"daily_chart"}
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=codes)
    assert materialize("corporate_actions", KEY).success
    announced = rows(CORPORATE_ACTIONS)
    point_at(virtual, monkeypatch, KIS_STOCK_CODES=codes)
    assert materialize("corporate_actions", KEY).success
    assert rows(CORPORATE_ACTIONS).equals(announced)


def test_a_base_that_moved_at_the_turn_of_a_month_is_stored_and_known_to_check_and_view(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch, KIS_STOCK_CODES="900110")
    last, first = date(2026, 2, 27), date(2026, 3, 3)
    same = {"stock_code": "900110", "fetched_at": EVENING}
    halted = candle(trading_day=last, close=3_000, base_price=3_000, volume=0, **same)
    back = candle(trading_day=first, close=1_600, base_price=1_500, change=100, **same)
    for row in (halted, back):
        rows_of_month = pl.DataFrame([row], schema=DAILY_CANDLES.schema)
        lake().replace(DAILY_CANDLES, Scope.month(row["trading_day"]), rows_of_month)

    def unexplained_bases() -> int:
        span = Window(
            lake(), DAILY_CANDLES, MONTH, date(2026, 3, 31), EVENING,
            lambda: pytest.fail("no source is asked"),
        )  # fmt: skip
        return moved_bases_have_an_action(span, span.rows()).collect().height

    assert unexplained_bases() == 1
    assert materialize("corporate_actions", KEY).success
    stored = rows(CORPORATE_ACTIONS).select("effective_on", "kind", "origin", "base_ratio").rows()
    assert stored == [(first, "other", "daily_chart", 0.5)]
    assert unexplained_bases() == 0
    steps = lake().read("SELECT step FROM daily_candles_adjusted ORDER BY trading_day")
    assert steps["step"].to_list() == [1.0, 0.5]


def test_a_bad_list_stores_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, codes: str
) -> None:
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=codes)
    assert materialize("corporate_actions", KEY).success
    before = rows(CORPORATE_ACTIONS)
    _change(
        monkeypatch,
        FACE_VALUES,
        lambda given: [row.update(inter_bf_face_amt="many") for row in given.payload["output1"]],
    )
    assert "rev-split" in failure(materialize("corporate_actions", KEY))
    assert rows(CORPORATE_ACTIONS).equals(before)


def test_a_list_that_is_empty_and_was_not_takes_nothing_away(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    monkeypatch.delenv("KIS_STOCK_CODES")
    assert materialize("corporate_actions", KEY).success
    before = rows(CORPORATE_ACTIONS)
    assert set(before["origin"]) > {"bonus-issue"}
    simulator.faults.no_rows = When(path="bonus-issue")
    assert materialize("corporate_actions", KEY).success
    after = rows(CORPORATE_ACTIONS)
    assert after.drop("fetched_at").equals(before.drop("fetched_at"))


def test_lists_that_are_all_empty_take_nothing_away(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_at(simulator, monkeypatch)
    monkeypatch.delenv("KIS_STOCK_CODES")
    assert materialize("corporate_actions", KEY).success
    before = rows(CORPORATE_ACTIONS)
    assert not before.is_empty()
    for asked in ACTION_LISTS:
        _change(monkeypatch, asked.endpoint, lambda given: given.payload.update(output1=[]))
    assert "no longer has any action" in failure(materialize("corporate_actions", KEY))
    assert rows(CORPORATE_ACTIONS).equals(before)


def test_a_month_to_come_is_refused(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(simulator, monkeypatch)
    assert "2026-04 has not begun" in failure(materialize("corporate_actions", "2026-04-01"))
    assert simulator.log == []

"""What KIS answers, read: names, units, signs; and what is refused although it says success."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kis_assets.errors import InvalidRequest, UnexpectedAnswer
from kis_assets.kis.daily_candles import read_daily_candles
from kis_assets.kis.fields import text, whole
from kis_assets.kis.quotes import PRICE_FIELDS, read_price, read_prices

FIRST, LAST = date(2026, 3, 9), date(2026, 3, 17)


def bar(day: str = "20260317", **changed: str) -> dict[str, str]:
    return {
        "stck_bsop_date": day,
        "stck_clpr": "71200",
        "stck_oprc": "70300",
        "stck_hgpr": "71500",
        "stck_lwpr": "69900",
        "acml_vol": "1234567",
        "acml_tr_pbmn": "87592837000",
        "flng_cls_code": "00",
        "prtt_rate": "0.00",
        "mod_yn": "N",
        "prdy_vrss_sign": "2",
        "prdy_vrss": "1200",
        "revl_issu_reas": "",
    } | changed


def chart(*bars: dict[str, str], price: str = "71200") -> dict[str, Any]:
    return {"output1": {"stck_prpr": price, "stck_shrn_iscd": "900110"}, "output2": list(bars)}


def read(*bars: dict[str, str], **about: str) -> list[dict[str, Any]]:
    return read_daily_candles(chart(*bars, **about), "900110", FIRST, LAST, FIRST)


def test_a_bar_is_read_whole() -> None:
    assert read(bar()) == [
        {
            "trading_day": date(2026, 3, 17),
            "open": 70300,
            "high": 71500,
            "low": 69900,
            "close": 71200,
            "volume": 1234567,
            "trading_value": 87592837000,
            "change": 1200,
            "base_price": 70000,
            "ex_flag": "00",
            "split_ratio": 0.0,
            "revaluation": "00",
            "has_traded": True,
            "stated_close": None,
        }
    ]


def test_a_positive_change_with_a_falling_sign_is_negative() -> None:
    assert read(bar(prdy_vrss="300", prdy_vrss_sign="5"))[0]["change"] == -300
    assert read(bar(prdy_vrss="-300", prdy_vrss_sign="5"))[0]["change"] == -300
    assert read(bar(prdy_vrss="300", prdy_vrss_sign="4"))[0]["change"] == -300  # at the limit
    assert read(bar(prdy_vrss="300", prdy_vrss_sign="1"))[0]["change"] == 300


def test_empty_objects_are_padding() -> None:
    blank = dict.fromkeys(bar(), "")
    assert len(read(bar(), {}, blank, blank | {"stck_clpr": "0"})) == 1


def test_a_bar_without_its_day_is_no_padding() -> None:
    with pytest.raises(UnexpectedAnswer, match="lacks stck_bsop_date"):
        read(bar(), bar(stck_bsop_date=""))


def test_a_row_that_is_no_object_is_an_answer_of_another_shape() -> None:
    with pytest.raises(UnexpectedAnswer, match="another shape"):
        read_daily_candles(chart(bar()) | {"output2": [None]}, "900110", FIRST, LAST, FIRST)


def test_a_day_without_a_trade_carries_the_price() -> None:
    zero = dict.fromkeys(("stck_oprc", "stck_hgpr", "stck_lwpr", "acml_vol"), "0")
    untraded = read(bar(**zero, mod_yn="Y", prdy_vrss="0"))[0]
    assert (untraded["close"], untraded["open"], untraded["has_traded"]) == (71200, 0, False)


def test_a_day_that_kis_marks_as_untraded_is_so_whatever_volume_it_shows() -> None:
    assert read(bar(mod_yn="Y"))[0]["has_traded"] is False
    assert read(bar(acml_vol="0", mod_yn="N"))[0]["has_traded"] is False


def test_more_bars_than_a_page_holds_are_refused() -> None:
    days = [date(2026, 3, 17) - timedelta(days=n) for n in range(101)]
    bars = [bar(f"{day:%Y%m%d}") for day in days]
    page = read_daily_candles(chart(*bars[:100]), "900110", days[99], days[0], days[99])
    assert len(page) == 100
    with pytest.raises(UnexpectedAnswer, match="101 bars, more than a page's 100"):
        read_daily_candles(chart(*bars), "900110", days[100], days[0], days[100])


def test_no_bars_of_a_known_code_are_no_error_and_of_an_unknown_one_are() -> None:
    assert read() == []
    for price in ("0", "", " "):
        with pytest.raises(InvalidRequest, match="no stock of this code"):
            read(price=price)


def test_bars_that_end_before_the_last_session_are_those_of_a_stock_that_ended_there() -> None:
    """KIS says success and gives another year's bars; what it states beside them is of today."""

    def judged(day: str, price: str, closed: date | None = LAST) -> list[dict[str, Any]]:
        body = chart(bar(day), price=price)
        return read_daily_candles(body, "900110", date(2000, 1, 1), LAST, closed)

    with pytest.raises(UnexpectedAnswer, match="newest bar is of 2025-03-17, and closes at 71200"):
        judged("20250317", "80100")
    assert len(judged("20250317", "71200")) == 1, "delisted then"
    assert len(judged("20260316", "80100", closed=date(2026, 3, 16))) == 1, "before the open"
    assert len(judged("20250317", "80100", closed=date(2026, 3, 18))) == 1, "of a past span"
    assert len(judged("20250317", "")) == 1, "nothing is stated"
    assert len(judged("20250317", "80100", closed=None)) == 1, "of NXT, which suspends stocks"


@pytest.mark.parametrize(
    ("bars", "said"),
    [
        ((bar("20260318"),), "holds 2026-03-18, expected"),
        ((bar("20260306"),), "holds 2026-03-06, expected"),
        ((bar("20260316"), bar("20260317")), "not in order"),
        ((bar("20260317"), bar("20260317")), "not in order"),
        ((bar(stck_clpr="abc"),), "stck_clpr is 'abc'"),
        ((bar(stck_clpr=""),), "lacks stck_clpr"),
        ((bar(acml_vol="12.5"),), "acml_vol is '12.5'"),
        ((bar("2026-3-1"),), "stck_bsop_date"),
        ((bar("20260230"),), "stck_bsop_date"),
        ((bar(prtt_rate="nan"),), "prtt_rate"),
    ],
)
def test_a_wrong_page_is_refused_whole(bars: tuple[dict[str, str], ...], said: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=said):
        read(*bars)


def test_an_answer_about_another_stock_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer, match="about 900110"):
        read_daily_candles(chart(bar()), "005930", FIRST, LAST, FIRST)


@pytest.mark.parametrize("body", [{}, {"output1": {}}, {"output1": [], "output2": []}])
def test_an_answer_of_another_shape_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswer, match="another shape"):
        read_daily_candles(body, "900110", FIRST, LAST, FIRST)


@pytest.mark.parametrize(
    ("word", "number"),
    [("12", 12), ("0012", 12), ("+5", 5), ("-5", -5), ("1,234", 1234), ("12.0", 12)],
)
def test_numbers_are_read_as_kis_writes_them(word: str, number: int) -> None:
    assert whole(word) == number


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_every_whole_number_comes_back(number: int) -> None:
    assert whole(f"{number}") == whole(f"{number:,}") == number


def one_price(code: str) -> dict[str, Any]:
    fields = {field.kis: "1" for field in PRICE_FIELDS if field.read is not text}
    return read_price({"output": fields | {"stck_shrn_iscd": code}}, "900110")


def test_a_price_is_about_the_stock_asked_for() -> None:
    assert one_price("900110")["stock_code"] == one_price("")["stock_code"] == "900110"
    with pytest.raises(UnexpectedAnswer, match="about 9001A0"):
        one_price("9001A0")


def quote(code: str, **changed: str) -> dict[str, str]:
    return {
        "inter_shrn_iscd": code,
        "inter_kor_isnm": "가상전자",
        "inter2_prpr": "71200",
        "inter2_prdy_vrss": "-110",
        "prdy_vrss_sign": "5",
        "prdy_ctrt": "-0.15",
        "acml_vol": "10",
        "inter2_oprc": "71310",
        "inter2_hgpr": "71400",
        "inter2_lwpr": "71000",
        "acml_tr_pbmn": "712000",
        "inter2_askp": "0",
    } | changed


def many(*rows: dict[str, str], asked: tuple[str, ...] = ("900110", "9001A0")) -> Any:
    return read_prices({"output": list(rows)}, asked)


def test_quotes_are_joined_by_code_and_unknown_ones_are_left_out() -> None:
    found = many(quote("9001A0"), quote("", inter2_prpr=""), quote("900110", inter2_prpr="0"))
    assert list(found) == ["9001A0"]
    assert found["9001A0"]["best_ask"] is None
    assert found["9001A0"]["change"] == -110


def test_one_bad_quote_does_not_spoil_the_other_29() -> None:
    found = many(quote("900110", inter2_prpr="abc"), quote("9001A0"))
    assert isinstance(found["900110"], UnexpectedAnswer)
    assert found["9001A0"]["price"] == 71200


def test_a_quote_not_asked_for_or_doubled_spoils_the_answer() -> None:
    with pytest.raises(UnexpectedAnswer, match="000660, which was not requested"):
        many(quote("000660"))
    with pytest.raises(UnexpectedAnswer, match="900110 twice"):
        many(quote("900110"), quote("900110"))

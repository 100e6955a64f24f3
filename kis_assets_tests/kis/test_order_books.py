"""Order books: ten levels a side, what stands for none, auctions, and what can never be right."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.availability import live_session
from kis_assets.defs.checks import order_books as checks
from kis_assets.defs.checks.check import Window
from kis_assets.errors import (
    InvalidRequest,
    KISError,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar
from kis_assets.kis.order_books import read_order_book
from kis_assets.lake.lake import Lake, Scope
from kis_assets.simulator.server.faults import When
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import ORDER_BOOKS, STOCK_MASTER
from kis_assets_tests.conftest import OpenAt, simulator_of
from kis_assets_tests.support.small_rows import frame

SAMSUNG, HYNIX = "005930", "000660"
PATH = "inquire-asking-price-exp-ccn"
DAY = date(2026, 3, 17)
TEN = datetime(2026, 3, 17, 10, 30, 15, tzinfo=calendar.SEOUL)
AFTER_MARKET = date(2026, 9, 14)
"""The first day with one."""
OPENING_AUCTION = datetime(2026, 3, 17, 8, 45, tzinfo=calendar.SEOUL)
"""Of a day that has not opened: the latest session is that of the day before."""
CLOSING_AUCTION = datetime(2026, 3, 17, 15, 25, tzinfo=calendar.SEOUL)


def answer(levels: int = 10, **changed: str) -> dict[str, Any]:
    """KIS's answer with so many levels a side around 71,150."""
    output1 = {
        "aspr_acpt_hour": "103015",
        "total_askp_rsqn": "5000",
        "total_bidp_rsqn": "4000",
        "new_mkop_cls_code": "20",
    }
    for n in range(1, 11):
        there = n <= levels
        output1 |= {
            f"askp{n}": str(71_100 + 100 * n) if there else "0",
            f"bidp{n}": str(71_200 - 100 * n) if there else "0",
            f"askp_rsqn{n}": str(10 * n) if there else "0",
            f"bidp_rsqn{n}": str(20 * n) if there else "0",
        }
    output2 = {
        "stck_prpr": "71200",
        "stck_sdpr": "70000",
        "antc_cnpr": "0",
        "antc_vol": "0",
        "antc_mkop_cls_code": "112",
        "stck_shrn_iscd": SAMSUNG,
        "vi_cls_code": "N",
    }
    for name, value in changed.items():
        (output2 if name in output2 else output1)[name] = value
    return {"output1": output1, "output2": output2}


def read(levels: int = 10, **changed: str) -> dict[str, Any]:
    return read_order_book(answer(levels, **changed), SAMSUNG, DAY, TEN)


def stocks(source: KISDataSource, *codes: str) -> pl.DataFrame:
    return source.tables.stock_master(DAY).filter(pl.col("stock_code").is_in(codes))


def capture(source: KISDataSource, *codes: str) -> Any:
    return source.tables.order_books(stocks(source, *codes), DAY, source._settings.now())


# What an answer means


def test_ten_levels_a_side_are_read() -> None:
    book = read()
    assert [book[f"ask_price_{n}"] for n in (1, 10)] == [71_200, 72_100]
    assert [book[f"bid_price_{n}"] for n in (1, 10)] == [71_100, 70_200]
    assert (book["ask_volume_2"], book["bid_volume_2"]) == (20, 40)
    assert (book["total_ask_volume"], book["total_bid_volume"]) == (5000, 4000)
    assert (book["market_phase"], book["vi_code"]) == ("20", "N")


def test_a_level_of_price_0_is_none_and_never_a_price() -> None:
    book = read(levels=3)
    assert book["ask_price_3"] == 71_400
    for side in ("ask", "bid"):
        assert book[f"{side}_price_4"] is None
        assert book[f"{side}_volume_4"] is None


def test_at_the_upper_limit_there_are_no_asks() -> None:
    empty = {f"askp{n}": "0" for n in range(1, 11)} | {f"askp_rsqn{n}": "0" for n in range(1, 11)}
    book = read(**empty)
    assert book["ask_price_1"] is None
    assert book["bid_price_1"] == 71_100


def expected(clock: str, phase: str, code: str, vi: str = "N", day: date = DAY) -> int | None:
    """The expected price of a book at a time of day, with the two codes of phases."""
    body = answer(
        antc_cnpr="71200", antc_vol="123", new_mkop_cls_code=phase, antc_mkop_cls_code=code,
        vi_cls_code=vi,
    )  # fmt: skip
    now = datetime.combine(day, time.fromisoformat(clock), calendar.SEOUL)
    book = read_order_book(body, SAMSUNG, day, now)
    assert (book["expected_price"] is None) == (book["expected_volume"] is None)
    return book["expected_price"]


@pytest.mark.parametrize(
    ("clock", "phase", "code"),
    [
        ("08:45", "00", "311"),
        ("08:45", "10", "311"),
        ("15:25", "00", "121"),
        ("15:25", "20", "121"),
        ("15:30:20", "00", "121"),  # extended
        ("15:34", "00", "121"),
        ("09:00:20", "00", "311"),
        # Codes that nobody has told of, or none: the hour is enough.
        ("08:45", "", ""),
        ("15:25", "", ""),
        ("15:25", "77", "777"),
        ("15:25", "00", "112"),
        # A halt of the whole market ends with an auction too.
        ("10:30", "00", "131"),
    ],
)
def test_in_an_auction_there_is_an_expected_price(clock: str, phase: str, code: str) -> None:
    assert expected(clock, phase, code) == 71_200


@pytest.mark.parametrize(
    ("clock", "phase", "code"),
    [
        ("15:08", "20", "112"),  # that of 09:00
        ("09:00:20", "20", "112"),
        ("15:20:01", "20", "112"),
        ("15:30:20", "30", "129"),
        ("15:30:20", "00", "112"),  # the price stands
        ("15:39", "00", "121"),
        ("08:29", "00", "311"),
        ("08:31", "10", "112"),  # yesterday's
        # Codes that nobody has told of, or none.
        ("10:30", "", ""),
        ("10:30", "77", "777"),
        ("10:30", "20", "121"),
        ("15:45", "", ""),
        ("16:30", "00", "121"),
        ("16:30", "77", "777"),
    ],
)
def test_outside_of_auctions_that_of_the_last_one_is_none(
    clock: str, phase: str, code: str
) -> None:
    assert expected(clock, phase, code) is None


@pytest.mark.parametrize(
    ("clock", "day", "price"),
    [
        ("10:30", DAY, 71_200),
        ("16:30", AFTER_MARKET, 71_200),
        ("20:30", AFTER_MARKET, None),
        ("08:10", DAY, None),
    ],
)
def test_an_interruption_is_an_auction_whatever_the_codes_are(
    clock: str, day: date, price: int | None
) -> None:
    assert expected(clock, "20", "112", vi="Y", day=day) == price


def test_auctions_move_with_a_late_session() -> None:
    first = date(2026, 1, 2)
    assert expected("09:45", "", "", day=first) == 71_200
    assert expected("08:45", "", "", day=first) is None
    assert expected("09:45", "", "", day=date(2026, 1, 3)) is None, "no session"


def test_without_a_price_none_is_expected() -> None:
    at = datetime(2026, 3, 17, 15, 25, tzinfo=calendar.SEOUL)
    book = read_order_book(answer(antc_cnpr="0", antc_vol="5"), SAMSUNG, DAY, at)
    assert (book["expected_price"], book["expected_volume"]) == (None, None)


def test_a_crossed_book_is_kept_for_auctions_cross_it() -> None:
    assert read(levels=1, bidp1="71300")["bid_price_1"] == 71_300


def test_a_gap_between_levels_is_kept_and_told_by_a_check() -> None:
    assert read(askp2="0", askp_rsqn2="0")["ask_price_2"] is None


@pytest.mark.parametrize(
    ("moment", "booked_at"),
    [
        ("103015", datetime(2026, 3, 17, 10, 30, 15, tzinfo=calendar.SEOUL)),
        (
            "103110",
            datetime(2026, 3, 17, 10, 31, 10, tzinfo=calendar.SEOUL),
        ),  # clocks differ a little
        ("103120", None),
        ("000000", None),
        ("", None),
        ("160000", None),  # later than now: an earlier day's
        ("nonsense", None),
    ],
)
def test_the_time_of_a_book_has_no_date(moment: str, booked_at: datetime | None) -> None:
    assert read(aspr_acpt_hour=moment)["booked_at"] == booked_at


@pytest.mark.parametrize(
    "name",
    ["new_mkop_cls_code", "antc_cnpr", "antc_vol", "antc_mkop_cls_code", "vi_cls_code"],
)
def test_a_blank_or_missing_optional_field_is_null_and_loses_no_book(name: str) -> None:
    assert read(**{name: " "})["ask_price_1"] == 71_200
    body = answer()
    for part in body.values():
        part.pop(name, None)
    assert read_order_book(body, SAMSUNG, DAY, TEN)["ask_price_1"] == 71_200


WRONG = {
    "a missing level": {"askp7": ""},
    "a number that is none": {"bidp_rsqn3": "abc"},
    "asks out of order": {"askp3": "71200"},
    "bids out of order": {"bidp3": "71500"},
    "a price twice": {"askp2": "71200"},
    "a negative volume": {"askp_rsqn1": "-5"},
    "a negative price": {"bidp10": "-1"},
    "a negative total": {"total_askp_rsqn": "-1"},
    "a negative expected price": {"antc_cnpr": "-1"},
    "another stock": {"stck_shrn_iscd": HYNIX},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_can_never_be_right_is_an_unexpected_answer(what: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        read(**WRONG[what])


def test_neither_levels_nor_a_price_is_an_unknown_code() -> None:
    with pytest.raises(InvalidRequest):
        read(levels=0, stck_prpr="0", stck_sdpr="0", stck_shrn_iscd="")
    assert read(levels=0)["ask_price_1"] is None


# A program that asks


def test_a_record_has_levels_best_prices_and_spread(at: OpenAt) -> None:
    book = at(TEN).get_order_book(SAMSUNG)
    assert len(book.ask_levels) == len(book.bid_levels) == 10
    assert book.stock_name
    assert book.best_ask == book.ask_levels[0].price > book.best_bid == book.bid_levels[0].price
    assert book.spread == book.best_ask - book.best_bid
    assert book.total_ask_volume >= sum(level.volume for level in book.ask_levels)
    assert {level.count for level in book.ask_levels} == {None}
    assert book.expected_price is None
    assert book.timestamp == "2026-03-17T10:30:15+09:00"


@pytest.mark.parametrize("moment", [OPENING_AUCTION, CLOSING_AUCTION])
def test_an_auction_shows_three_levels_and_the_expected_price(at: OpenAt, moment: datetime) -> None:
    book = at(moment).get_order_book(SAMSUNG)
    assert len(book.ask_levels) == 3
    assert book.expected_price
    assert book.expected_volume


def test_nobody_quotes_after_the_close(at: OpenAt) -> None:
    book = at(datetime(2026, 3, 17, 20, 50, tzinfo=calendar.SEOUL)).get_order_book(SAMSUNG)
    assert (book.ask_levels, book.best_ask, book.best_bid, book.spread) == ((), None, None, None)


def test_the_virtual_server_has_order_books(at: OpenAt) -> None:
    real, virtual = at(TEN), at(TEN, kis_use_virtual_server=True)
    assert virtual.get_order_book(SAMSUNG) == real.get_order_book(SAMSUNG)


def test_an_unknown_code_is_an_invalid_request(at: OpenAt) -> None:
    with pytest.raises(InvalidRequest, match="999999"):
        at(TEN).get_order_book("999999")


# The table


def test_a_capture_costs_one_request_a_stock_and_one_for_the_day(at: OpenAt) -> None:
    source = at(TEN)
    fetched = capture(source, SAMSUNG, HYNIX)
    assert fetched.failed == fetched.absent == {}
    assert fetched.rows.schema == ORDER_BOOKS.schema
    assert sorted(fetched.rows["stock_code"]) == [HYNIX, SAMSUNG]
    assert set(fetched.rows["captured_at"].dt.convert_time_zone("Asia/Seoul")) == {TEN}
    assert simulator_of(source).calls(PATH) == 2
    assert simulator_of(source).calls("inquire-daily-itemchartprice") == 1


def test_a_holiday_that_no_calendar_knows_stores_no_books(
    at: OpenAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = at(TEN)
    monkeypatch.setattr(simulator_of(source).market, "bars", lambda *_: [])
    with pytest.raises(UnexpectedAnswer, match="no session"):
        source.tables.order_books(stocks(source, SAMSUNG), DAY, TEN)
    assert simulator_of(source).calls(PATH) == 0


BAD_INPUT: dict[str, tuple[str, Any, type[KISError]]] = {
    "a call that is refused": ("refused", When(path=PATH, calls=1), RateLimited),
    "a missing required field": ("missing_required_field", None, UnexpectedAnswer),
    "a number that is none": ("bad_number", None, UnexpectedAnswer),
    "another stock's book": ("wrong_code_answer", None, UnexpectedAnswer),
    "HTML with status 200": ("html", None, ServiceUnavailable),
    "an empty body": ("empty", None, ServiceUnavailable),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_is_a_named_error_of_that_stock_and_the_run_goes_on(
    at: OpenAt, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.transport.fan_out.ROUNDS", 1)
    source = at(TEN)
    source.tables._workers = 1
    name, when, error = BAD_INPUT[what]
    setattr(simulator_of(source).faults, name, when or When(path=PATH, calls=1))
    fetched = capture(source, SAMSUNG, HYNIX)
    assert [type(found) for found in fetched.failed.values()] == [error]
    assert fetched.rows.height == 1
    assert fetched.rows["stock_code"][0] not in fetched.failed


def test_books_go_through_the_lakes_door_and_their_checks_pass(at: OpenAt, tmp_path: Any) -> None:
    for moment in (TEN, CLOSING_AUCTION):
        source = at(moment)
        master = source.tables.stock_master(DAY).head(60)
        fetched = source.tables.order_books(master, DAY, moment)
        lake = Lake(tmp_path / "kis", source="kis")
        change = lake.replace(ORDER_BOOKS, Scope.capture(DAY, moment), fetched.rows)
        assert change.added == fetched.rows.height > 40
    rows = lake.scan(ORDER_BOOKS)
    span = span_of(lake)
    for check in CHECKS:
        assert check(span, rows).collect().is_empty(), check.__name__


NOON_UTC = datetime(2026, 3, 17, 3, tzinfo=UTC)


def span_of(lake: Lake) -> Window:
    return Window(lake, ORDER_BOOKS, DAY, DAY, TEN, lambda: pytest.fail("no source is asked"))


CHECKS = (
    checks.captures_are_made_while_people_quote,
    checks.asks_rise_and_bids_fall,
    checks.best_bid_is_below_best_ask,
    checks.totals_cover_levels,
    checks.levels_have_shares,
)


@pytest.mark.parametrize(
    ("check", "spoilt"),
    [
        (checks.asks_rise_and_bids_fall, {"ask_price_2": None}),
        (checks.asks_rise_and_bids_fall, {"bid_price_2": 99_999_999}),
        (checks.best_bid_is_below_best_ask, {"bid_price_1": 99_999_999}),
        (checks.totals_cover_levels, {"total_bid_volume": 1}),
        (checks.levels_have_shares, {"ask_volume_1": 0}),
    ],
)
def test_a_check_tells_what_fails_it(
    at: OpenAt, tmp_path: Any, check: Any, spoilt: dict[str, Any]
) -> None:
    rows = capture(at(TEN), SAMSUNG).rows
    types = ORDER_BOOKS.schema
    rows = rows.with_columns(pl.lit(v, types[name]).alias(name) for name, v in spoilt.items())
    span = span_of(Lake(tmp_path / "kis", source="kis"))
    assert check(span, rows.lazy()).collect().height == 1


@pytest.mark.parametrize(("empty", "fails"), [(1, 0), (2, 0), (3, 3), (4, 4)])
def test_a_capture_of_which_most_is_empty_fails_its_check(
    at: OpenAt, tmp_path: Any, empty: int, fails: int
) -> None:
    """A halted stock has no quotes either; of a closed market there are hardly any."""
    four = pl.concat([capture(at(TEN), SAMSUNG).rows] * 4).with_row_index("number")
    sides = [f"{side}_price_1" for side in ("ask", "bid")]
    rows = four.with_columns(
        pl.when(pl.col("number") >= empty).then(name).alias(name) for name in sides
    )
    span = span_of(Lake(tmp_path / "kis", source="kis"))
    whole = pl.concat([rows, four.with_columns(captured_at=pl.lit(NOON_UTC))])
    found = checks.captures_are_made_while_people_quote(span, whole.lazy())
    assert found.collect().height == fails


def test_halted_stocks_are_no_sign_of_a_closed_market(at: OpenAt, tmp_path: Any) -> None:
    lake = Lake(tmp_path / "kis", source="kis")
    book = capture(at(TEN), SAMSUNG).rows
    empty = book.with_columns(
        stock_code=pl.lit("000660"),
        ask_price_1=pl.lit(None, pl.Int64),
        bid_price_1=pl.lit(None, pl.Int64),
    )
    rows = pl.concat([book, empty, empty.with_columns(stock_code=pl.lit("005380"))])
    check = checks.captures_are_made_while_people_quote
    assert check(span_of(lake), rows.lazy()).collect().height == 2
    masters = [
        {"trading_day": DAY, "stock_code": code, "stock_name": code, "market": "KOSPI",
         "isin": f"KR7{code}003", "security_group": "ST", "security_type": "common",
         "is_halted": code != SAMSUNG, "listed_shares": 1}
        for code in ("000660", "005380", SAMSUNG)
    ]  # fmt: skip
    lake.replace(STOCK_MASTER, Scope(DAY, DAY), frame(STOCK_MASTER, *masters, source="kis"))
    assert check(span_of(lake), rows.lazy()).collect().is_empty()


@pytest.mark.parametrize("phase", [{"market_phase": "00"}, {"vi_code": "Y"}])
def test_a_crossed_book_is_right_in_auctions_and_interruptions(
    at: OpenAt, tmp_path: Any, phase: dict[str, str]
) -> None:
    rows = capture(at(TEN), SAMSUNG).rows
    rows = rows.with_columns(
        pl.lit(99_999_999).alias("bid_price_1"), *(pl.lit(v).alias(n) for n, v in phase.items())
    )
    span = span_of(Lake(tmp_path / "kis", source="kis"))
    assert checks.best_bid_is_below_best_ask(span, rows.lazy()).collect().is_empty()


def test_books_of_another_day_are_refused_before_a_request() -> None:
    with pytest.raises(InvalidRequest, match="no longer available"):
        live_session("2026-03-16", TEN)

"""What comes of the after-market by minutes, order books and KRX itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from kis_assets.exchange import calendar
from kis_assets.simulator.market.after_market import Correction
from kis_assets.simulator.market.market import Minute
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire.charts import inquire_daily_itemchartprice
from kis_assets.simulator.wire.minutes import (
    inquire_time_dailychartprice,
    inquire_time_itemchartprice,
)
from kis_assets.simulator.wire.quotes import inquire_asking_price, inquire_ccnl
from kis_assets_tests.support.market_clock import (
    BUSY,
    EXAM,
    FRIDAY,
    MONDAY,
    Clock,
    bar_of,
    moment,
    moved,
    shares,
)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


# Minutes.


def labels(minutes: Sequence[Minute]) -> list[str]:
    return [f"{minute.started_at:%H%M}" for minute in minutes]


@pytest.mark.parametrize(("day", "opens"), [(FRIDAY, "1600"), (EXAM, "1700")])
def test_its_minutes_are_a_stretch_of_their_own(clock: Clock, day: date, opens: str) -> None:
    minutes = clock(date(2026, 12, 1), 9).minutes(BUSY, day)
    after = [label for label in labels(minutes) if label >= opens]
    close = "1530" if day == FRIDAY else "1630"
    assert (after[0], after[-1]) == (opens, "1959")
    assert not [label for label in labels(minutes) if close < label < opens]
    bar = clock.market.final_bar(BUSY, day)
    assert bar
    assert bar.after
    official = next(
        it for it, label in zip(minutes, labels(minutes), strict=True) if label == close
    )
    assert official.close == bar.close
    assert minutes[-1].close == bar.after.close


@pytest.mark.parametrize("code", ["199700", "451060", "276720"])
def test_every_minute_has_a_trade_and_they_add_up(clock: Clock, code: str) -> None:
    market = clock(date(2026, 12, 1), 9)
    for day in calendar.trading_days(date(2026, 10, 19), date(2026, 11, 6)):
        minutes = market.minutes(code, day)
        assert all(it.volume > 0 and it.trading_value > 0 for it in minutes)
        after = bar_of(market, day, code).after
        start = moment(day, 16)
        found = [it for it in minutes if it.started_at >= start]
        assert sum(it.volume for it in found) == (after.volume if after else 0)
        assert sum(it.trading_value for it in found) == (after.value if after else 0)


def test_the_running_value_goes_on_to_the_days(clock: Clock) -> None:
    """As recorded: 21,608,822,940 at 19:59, which is the day's value; at 15:30 it was less."""
    clock(MONDAY, 9)
    rows = clock.rows(inquire_time_dailychartprice, FID_INPUT_DATE_1="20261113")
    final = clock.market.final_bar(BUSY, FRIDAY)
    assert final
    assert rows[0]["stck_cntg_hour"] == "195900"
    assert rows[0]["acml_tr_pbmn"] == str(final.trading_value)
    values = [int(row["acml_tr_pbmn"]) for row in rows]
    assert values == sorted(values, reverse=True)


def test_a_busy_day_is_six_pages(clock: Clock) -> None:
    clock(MONDAY, 9)
    found: list[str] = []
    upto, pages = "200000", 0
    while not found or found[-1] != "090000":
        page = clock.rows(
            inquire_time_dailychartprice, FID_INPUT_DATE_1="20261113", FID_INPUT_HOUR_1=upto
        )
        of_day = [it["stck_cntg_hour"] for it in page if it["stck_bsop_date"] == "20261113"]
        found += of_day
        before = datetime.strptime("20261113" + of_day[-1], "%Y%m%d%H%M%S") - timedelta(minutes=1)  # noqa: DTZ007
        upto, pages = f"{before:%H%M%S}", pages + 1
    assert pages == 6
    assert len(found) == len(set(found)) > 600


def test_todays_chart_goes_on_as_far_as_the_clock(clock: Clock) -> None:
    market = clock(FRIDAY, 16, 45, 20)
    rows = clock.rows(inquire_time_itemchartprice, FID_INPUT_HOUR_1="164500")
    assert rows[0]["stck_cntg_hour"] == "164500"
    assert rows[-1]["stck_cntg_hour"] == "161600"
    assert rows[1]["stck_prpr"] == str(market.minutes(BUSY, FRIDAY)[-2].close)
    early = clock.rows(inquire_time_itemchartprice, FID_INPUT_HOUR_1="161400")
    assert [row["stck_cntg_hour"] for row in early[14:17]] == ["160000", "153000", "151900"]


def test_todays_chart_is_flat_in_minutes_without_trades(clock: Clock) -> None:
    market = clock(FRIDAY, 19)

    def traded(code: str) -> int:
        return sum(it.started_at.hour > 15 for it in market.minutes(code, FRIDAY))

    stock = next(
        stock for stock, bar in shares(market, FRIDAY) if bar.after and 3 < traded(stock.code) < 40
    )
    rows = clock.rows(
        inquire_time_itemchartprice, FID_INPUT_ISCD=stock.code, FID_INPUT_HOUR_1="185900"
    )
    assert [row["stck_cntg_hour"] for row in rows[:2]] == ["185900", "185800"]
    flat = [row for row in rows if row["cntg_vol"] == "0"]
    assert flat
    assert all(row["stck_oprc"] == row["stck_hgpr"] == row["stck_prpr"] for row in flat)


def test_todays_chart_of_a_fund_ends_at_1530(clock: Clock) -> None:
    market = clock(FRIDAY, 19)
    fund = next(stock.code for stock in market.stocks(FRIDAY) if stock.group == "EF")
    rows = clock.rows(inquire_time_itemchartprice, FID_INPUT_ISCD=fund, FID_INPUT_HOUR_1="190000")
    assert rows[0]["stck_cntg_hour"] == "153000"


def test_the_last_trades_are_those_of_the_evening(clock: Clock) -> None:
    """Through this call a trade of 19:59:47 was seen."""
    clock(FRIDAY, 21)
    rows = clock.rows(inquire_ccnl, "output")
    assert rows[0]["stck_cntg_hour"] == "195900"


# Order books.


def test_in_the_evening_a_book_is_live_and_the_last_auction_stands_beside_it(clock: Clock) -> None:
    market = clock(FRIDAY, 18, 20)
    book = clock.ask(inquire_asking_price, "output1")
    final = market.final_bar(BUSY, FRIDAY)
    quote = market.quote(BUSY, market.now())
    assert final
    assert quote
    assert int(book["askp10"]) > int(book["askp1"]) > int(book["bidp1"]) > int(book["bidp10"]) > 0
    assert str(quote.price) in (book["askp1"], book["bidp1"])
    assert (book["aspr_acpt_hour"], book["new_mkop_cls_code"]) == ("182000", "40")
    beside = clock.ask(inquire_asking_price, "output2")
    assert beside["antc_mkop_cls_code"] == "112"
    assert beside["antc_cnpr"] == str(final.close)


def test_in_continuous_trading_the_opening_auction_stands_there(clock: Clock) -> None:
    """As recorded in May 2026, at 15:08; while an auction runs, it is that one's."""
    market = clock(FRIDAY, 15, 8)
    beside = clock.ask(inquire_asking_price, "output2")
    final = market.final_bar(BUSY, FRIDAY)
    assert final
    assert (beside["antc_mkop_cls_code"], beside["antc_cnpr"]) == ("112", str(final.open))
    clock(FRIDAY, 15, 25)
    beside = clock.ask(inquire_asking_price, "output2")
    assert (beside["antc_mkop_cls_code"], beside["antc_cnpr"]) == ("121", beside["stck_prpr"])


@pytest.mark.parametrize("hour", [(15, 45), (20, 0), (23, 0)])
def test_at_the_closing_price_and_at_night_there_is_no_book(
    clock: Clock, hour: tuple[int, int]
) -> None:
    clock(FRIDAY, *hour)
    book = clock.ask(inquire_asking_price, "output1")
    assert {book[f"{side}{n}"] for side in ("askp", "bidp") for n in range(1, 11)} == {"0"}


# KRX and the other venues.


def figures(clock: Clock, day: date) -> dict[str, dict[str, Any]]:
    server = Simulator(clock.market)
    query = [("basDd", f"{day:%Y%m%d}")]
    found: dict[str, dict[str, Any]] = {}
    for api in ("stk_bydd_trd", "ksq_bydd_trd"):
        reply = server.handle("GET", f"/svc/apis/sto/{api}", query, {"auth_key": "k" * 40})
        found |= {row["ISU_CD"]: row for row in json.loads(reply.body)["OutBlock_1"]}
    return found


def test_krx_publishes_regular_prices_and_the_whole_days_volume_at_0800(clock: Clock) -> None:
    clock(MONDAY, 7, 59)
    assert figures(clock, FRIDAY) == {}
    stock, bar = moved(clock(MONDAY, 8), FRIDAY)
    row = figures(clock, FRIDAY)[stock.code]
    assert (row["TDD_CLSPRC"], row["TDD_HGPRC"]) == (str(bar.close), str(bar.high))
    assert (row["ACC_TRDVOL"], row["ACC_TRDVAL"]) == (str(bar.volume), str(bar.trading_value))


def test_krx_knows_the_close_before_kis_has_corrected_it() -> None:
    clock = Clock(correction=Correction(time(10)))
    stock, bar = moved(clock(MONDAY, 9), FRIDAY)
    assert figures(clock, FRIDAY)[stock.code]["TDD_CLSPRC"] == str(bar.close)
    assert clock.market.bars(stock.code, FRIDAY, FRIDAY) != [bar]


def test_both_venues_together_show_a_stock_that_is_not_on_nxt_as_krx_does(clock: Clock) -> None:
    market = clock(FRIDAY, 21)
    code = next(stock.code for stock, _ in shares(market, FRIDAY) if not stock.on_nxt)
    of_krx, of_both = (
        clock.rows(inquire_daily_itemchartprice, FID_INPUT_ISCD=code, FID_COND_MRKT_DIV_CODE=venue)
        for venue in ("J", "UN")
    )
    assert of_krx == of_both

"""A day since 2026-09-14 as KIS shows it: the evening, the night, the morning after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from statistics import median

import pytest

from kis_assets import krx
from kis_assets.simulator.after_market import Correction, takes_part
from kis_assets.simulator.market import Bar, Minute, Quote, Stock
from kis_assets.simulator.model import ModelMarket
from kis_assets.simulator.prices import grid_of
from kis_assets.simulator.wire import Record, Request
from kis_assets.simulator.wire_charts import inquire_daily_itemchartprice, inquire_daily_price
from kis_assets.simulator.wire_minutes import (
    inquire_time_dailychartprice,
    inquire_time_itemchartprice,
)
from kis_assets.simulator.wire_quotes import inquire_price, intstock_multprice, volume_rank

THURSDAY, FRIDAY, MONDAY = date(2026, 11, 12), date(2026, 11, 13), date(2026, 11, 16)
EXAM = date(2026, 11, 19)
BUSY = "005930"


class Clock:
    """A market whose clock one can turn; stocks are corrected at one instant."""

    def __init__(self, **options: object) -> None:
        self.at = moment(FRIDAY, 12)
        options.setdefault("correction", Correction(late_share=0))
        self.market = ModelMarket(0, lambda: self.at, **options)  # type: ignore[arg-type]

    def __call__(self, day: date, *hour: int) -> ModelMarket:
        self.at = moment(day, *hour)
        return self.market

    def ask(self, service: Callable[[Request], object], **parameters: str) -> Record:
        """`output` or `output1` of a service."""
        payload = service(self._request(parameters)).payload  # type: ignore[attr-defined]
        return payload.get("output1", payload.get("output"))

    def rows(self, service: Callable[[Request], object], **parameters: str) -> list[Record]:
        """`output2` of a service, or an `output` that is a list."""
        payload = service(self._request(parameters)).payload  # type: ignore[attr-defined]
        return payload.get("output2", payload.get("output"))

    def _request(self, parameters: dict[str, str]) -> Request:
        known = {
            "FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": BUSY, "FID_PERIOD_DIV_CODE": "D",
            "FID_INPUT_DATE_1": "20261101", "FID_INPUT_DATE_2": "20270131",
            "FID_ORG_ADJ_PRC": "1", "FID_INPUT_HOUR_1": "200000",
        }  # fmt: skip
        return Request(self.market, self.at, known | parameters)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


def moment(day: date, *hour: int) -> datetime:
    return datetime.combine(day, time(*hour), krx.SEOUL)


def shares(market: ModelMarket, day: date) -> Iterator[tuple[Stock, Bar]]:
    """The shares that were traded and can be in the after-market, with their final bars."""
    for stock in market.stocks(day):
        bar = market.final_bar(stock.code, day)
        if bar and bar.volume and takes_part(stock):
            yield stock, bar


def quote_of(market: ModelMarket, code: str = BUSY) -> Quote:
    quote = market.quote(code, market.now())
    assert quote
    return quote


def bar_of(market: ModelMarket, day: date, code: str = BUSY) -> Bar:
    (bar,) = market.bars(code, day, day)
    return bar


def moved(market: ModelMarket, day: date) -> tuple[Stock, Bar]:
    """A busy share whose last after-market trade is above its close and above its high."""
    return next(
        (stock, bar) for stock, bar in shares(market, day)
        if bar.after and bar.after.close > bar.high and bar.volume > 10_000
    )  # fmt: skip


# What it trades.


@pytest.mark.parametrize("day", [date(2026, 9, 14), date(2026, 10, 2), FRIDAY, EXAM])
def test_prices_move_as_far_as_they_were_measured_to(clock: Clock, day: date) -> None:
    """On five evenings: 20.6 to 22.1 % equal, median 0.34 to 0.44 %, p99 4.4 to 5.1 %, most 26 %.

    Of a sample, 5.3 % had a higher high and 3.7 % a lower low, none another open.
    """
    found = shares(clock(date(2026, 12, 1), 9), day)
    afters = [(bar, bar.after or bar) for _, bar in found]
    moves = sorted(abs(after.close / bar.close - 1) for bar, after in afters)
    assert 0.17 < sum(move == 0 for move in moves) / len(moves) < 0.24
    assert 0.003 < median(moves) < 0.0047
    assert 0.036 < moves[int(len(moves) * 0.99)] < 0.055
    assert moves[-1] <= 0.6
    assert 0.03 < sum(after.high > bar.high for bar, after in afters) / len(moves) < 0.07
    assert 0.03 < sum(after.low < bar.low for bar, after in afters) / len(moves) < 0.07


def test_its_prices_are_legal_and_its_volume_is_a_part_of_the_days(clock: Clock) -> None:
    market = clock(MONDAY, 9)
    for stock, bar in shares(market, FRIDAY):
        after = bar.after
        if after is None:
            continue
        lower, upper = grid_of(stock, FRIDAY).limits(bar.base)
        if stock.listed_on != FRIDAY:
            assert lower <= after.low
            assert after.high <= upper
        ticks = grid_of(stock, FRIDAY)
        assert all(ticks.nearest(price) == price for price in after[:4])
        assert after.low <= min(after.open, after.close)
        assert max(after.open, after.close) <= after.high
        assert after.low * after.volume <= after.value <= after.high * after.volume
        if bar.volume > 1_000:
            assert 0.015 < after.volume / bar.volume <= 0.2


def test_funds_konex_and_halted_stocks_have_none_and_some_thin_ones_no_trade(clock: Clock) -> None:
    market = clock(FRIDAY, 18)
    silent = 0
    for stock in market.stocks(FRIDAY):
        bar = market.final_bar(stock.code, FRIDAY)
        if bar is None:
            continue
        if stock.group in ("EF", "EN", "EW") or stock.market == "KONEX" or stock.is_halted:
            assert bar.after is None
            assert market.book(stock.code, market.now()) is None
        elif bar.volume and bar.after is None:
            silent += 1
            assert quote_of(market, stock.code).price == bar.close
    assert 50 < silent < 200


def test_no_day_before_has_one(clock: Clock) -> None:
    market = clock(date(2026, 9, 14), 12)
    for stock in market.stocks(date(2026, 9, 11))[::20]:
        assert all(bar.after is None for bar in market.bars(stock.code, date(2026, 1, 1), FRIDAY))


def test_a_seed_has_the_same_after_market_everywhere(clock: Clock) -> None:
    assert clock(FRIDAY, 23).minutes(BUSY, FRIDAY) == Clock()(MONDAY, 9).minutes(BUSY, FRIDAY)


# The evening.


def test_the_price_stands_still_until_the_after_market_and_volume_grows_from_1540(
    clock: Clock,
) -> None:
    final = clock(MONDAY, 9).final_bar(BUSY, FRIDAY)
    assert final
    hours = ((15, 30), (15, 39), (15, 45), (15, 55), (15, 59, 59))
    bars = [quote_of(clock(FRIDAY, *hour)).bar for hour in hours]
    assert {bar.close for bar in bars} == {final.close}
    assert {bar.high for bar in bars} == {final.high}
    volumes = [bar.volume for bar in bars]
    assert volumes[0] == volumes[1] < volumes[2] < volumes[3] < volumes[4]


def test_quote_chart_and_short_history_show_the_after_market_alike(clock: Clock) -> None:
    market = clock(FRIDAY, 18, 30)
    stock, final = moved(market, FRIDAY)
    bar, code = quote_of(market, stock.code).bar, {"FID_INPUT_ISCD": stock.code}
    minutes = [it for it in market.minutes(stock.code, FRIDAY) if it.started_at.hour >= 16]
    assert bar.close == minutes[-1].close
    assert bar.open == final.open
    assert bar.high == max(final.high, *(minute.high for minute in minutes))
    assert bar.low == min(final.low, *(minute.low for minute in minutes))
    assert (bar.base, bar.change) == (final.base, bar.close - final.base)

    price = clock.ask(inquire_price, **code)
    assert (price["stck_prpr"], price["acml_vol"]) == (str(bar.close), str(bar.volume))
    assert (price["stck_hgpr"], price["stck_lwpr"]) == (str(bar.high), str(bar.low))
    assert (price["stck_sdpr"], price["prdy_vrss"]) == (str(bar.base), str(bar.change))
    slot = clock.rows(
        intstock_multprice, FID_INPUT_ISCD_1=stock.code, FID_COND_MRKT_DIV_CODE_1="J"
    )[0]
    assert (slot["inter2_prpr"], slot["inter2_sdpr"]) == (str(bar.close), str(bar.base))
    for service in (inquire_daily_itemchartprice, inquire_daily_price):
        newest = clock.rows(service, **code)[0]
        assert newest["stck_bsop_date"] == "20261113"
        assert (newest["stck_clpr"], newest["acml_vol"]) == (str(bar.close), str(bar.volume))
        assert (newest["stck_hgpr"], newest["stck_oprc"]) == (str(bar.high), str(bar.open))


def test_the_ranking_shows_it_too(clock: Clock) -> None:
    market = clock(FRIDAY, 20, 30)
    first = clock.rows(volume_rank, FID_BLNG_CLS_CODE="3")[0]
    after = bar_of(market, FRIDAY, first["mksc_shrn_iscd"]).close
    assert first["stck_prpr"] == str(after)


def test_volume_and_value_grow_and_are_final_at_2000(clock: Clock) -> None:
    final = clock(MONDAY, 9).final_bar(BUSY, FRIDAY)
    assert final
    seen = [quote_of(clock(FRIDAY, hour)).bar for hour in (16, 17, 18, 19, 20)]
    volumes = [bar.volume for bar in seen]
    assert volumes == sorted(set(volumes))
    assert (volumes[-1], seen[-1].trading_value) == (final.volume, final.trading_value)


# The night.


def test_prices_return_to_the_regular_sessions_in_the_night(clock: Clock) -> None:
    final = clock(FRIDAY, 9).final_bar(BUSY, THURSDAY)
    assert final
    assert final.after
    for day, *hour in ((THURSDAY, 20), (THURSDAY, 23, 59), (FRIDAY, 4, 59)):
        market = clock(day, *hour)
        shown = bar_of(market, THURSDAY)
        assert shown.close == final.after.close != final.close
        assert shown == quote_of(market).bar
        assert shown.volume == final.volume
    for hour in (5, 6):
        market = clock(FRIDAY, hour)
        assert bar_of(market, THURSDAY) == quote_of(market).bar == final
    assert bar_of(clock(FRIDAY, 12), THURSDAY) == final


@pytest.mark.parametrize(
    ("day", "following", "waiting"),
    [
        pytest.param(FRIDAY, MONDAY, date(2026, 11, 15), id="a weekend"),
        pytest.param(date(2026, 9, 23), date(2026, 9, 28), date(2026, 9, 27), id="Chuseok"),
        pytest.param(date(2026, 10, 2), date(2026, 10, 6), date(2026, 10, 5), id="a holiday"),
        pytest.param(date(2026, 11, 30), date(2026, 12, 1), date(2026, 11, 30), id="a month's end"),
        pytest.param(date(2026, 12, 30), date(2027, 1, 4), date(2027, 1, 3), id="a year's end"),
    ],
)
def test_the_night_is_that_before_the_next_session(
    clock: Clock, day: date, following: date, waiting: date
) -> None:
    stock, final = moved(clock(following, 9), day)
    assert final.after
    assert bar_of(clock(waiting, 23), day, stock.code).close == final.after.close
    assert bar_of(clock(following, 4, 59), day, stock.code).high > final.high
    market = clock(following, 5)
    assert bar_of(market, day, stock.code) == final
    assert bar_of(clock(following, 10), day, stock.code) == final


def test_the_hour_of_the_correction_and_who_comes_later_can_be_chosen() -> None:
    correction = Correction(time(1), late=frozenset((BUSY,)), late_share=0, late_at=time(8, 30))
    clock = Clock(correction=correction)
    final = clock(FRIDAY, 9).final_bar("000660", THURSDAY)
    assert bar_of(clock(FRIDAY, 0, 59), THURSDAY, "000660") != final
    assert bar_of(clock(FRIDAY, 1), THURSDAY, "000660") == final
    final = clock.market.final_bar(BUSY, THURSDAY)
    assert bar_of(clock(FRIDAY, 8, 29), THURSDAY) != final
    assert bar_of(clock(FRIDAY, 8, 30), THURSDAY) == final


def test_one_of_eleven_stocks_is_corrected_after_the_others() -> None:
    """As measured at 05:28."""
    clock = Clock(correction=Correction())
    market = clock(FRIDAY, 5, 28)
    found = [(stock, bar) for stock, bar in shares(market, THURSDAY) if bar.after]
    waiting = sum(bar_of(market, THURSDAY, stock.code) != bar for stock, bar in found)
    assert waiting / len(found) == pytest.approx(1 / 11, abs=0.03)
    market = clock(FRIDAY, 6)
    assert all(bar_of(market, THURSDAY, stock.code) == bar for stock, bar in found)


@pytest.mark.parametrize("hour", [time(0, 30), time(5), time(7), time(8, 30)])
def test_the_previous_close_rolls_at_an_hour_that_can_be_chosen(hour: time) -> None:
    """Before it, the close of the session before; after it, the official close of the last one."""
    clock = Clock(rolls_at=hour)
    market = clock(MONDAY, 9)
    friday, thursday = (market.final_bar(BUSY, day) for day in (FRIDAY, THURSDAY))
    assert friday
    assert thursday
    rolls = moment(MONDAY, hour.hour, hour.minute)
    for at, close in ((rolls - timedelta(minutes=1), thursday.close), (rolls, friday.close)):
        clock.at = at
        chart = clock.ask(inquire_daily_itemchartprice)
        slot = clock.rows(intstock_multprice, FID_INPUT_ISCD_1=BUSY, FID_COND_MRKT_DIV_CODE_1="J")[
            0
        ]
        assert chart["stck_prdy_clpr"] == slot["inter2_prdy_clpr"] == str(close)
        assert clock.ask(inquire_price)["stck_sdpr"] == slot["inter2_sdpr"] == str(close)


def test_the_next_base_price_is_the_regular_close(clock: Clock) -> None:
    stock, final = moved(clock(MONDAY, 9), FRIDAY)
    quote = quote_of(clock(MONDAY, 8), stock.code)
    assert (quote.bar.base, quote.price) == (final.close, final.close)


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

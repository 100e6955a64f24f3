"""Minutes, past and of today: what KIS answers besides, and what becomes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.defs.checks import minute_candles as checks
from kis_assets.defs.checks.check import Window
from kis_assets.errors import (
    InvalidRequest,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar
from kis_assets.kis import minute_candles
from kis_assets.kis import minute_days as minutes
from kis_assets.kis.daily_candles import DAILY_CHART
from kis_assets.lake.lake import Lake, Scope
from kis_assets.simulator.server.faults import When
from kis_assets.sources.bars import chart
from kis_assets.sources.record_types import ChartData, PriceType
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES
from kis_assets_tests.conftest import EVENING, OpenAt, simulator_of

SAMSUNG, HYNIX = "005930", "000660"
PAST, TODAY = "inquire-time-dailychartprice", "inquire-time-itemchartprice"
DAY = date(2026, 3, 17)
SESSION = calendar.session(DAY)
assert SESSION is not None


def moment(hour: int, minute: int, second: int = 0) -> datetime:
    return datetime.combine(DAY, time(hour, minute, second), calendar.SEOUL)


def utc(hour: int, minute: int) -> datetime:
    return moment(hour, minute).astimezone(UTC)


def row(at: str, value: int, day: str = "20260317", **changed: str) -> dict[str, str]:
    return {
        "stck_bsop_date": day,
        "stck_cntg_hour": at,
        "stck_prpr": "1000",
        "stck_oprc": "1000",
        "stck_hgpr": "1010",
        "stck_lwpr": "990",
        "cntg_vol": "10",
        "acml_tr_pbmn": str(value),
    } | changed


def body(*rows: dict[str, str], price: str = "1000", volume: str = "100") -> dict[str, Any]:
    return {"output1": {"stck_prpr": price, "acml_vol": volume}, "output2": list(rows)}


def read(*rows: dict[str, str], **about: str) -> minutes.Page:
    return minute_candles.read_page(body(*rows, **about), SAMSUNG, DAY, moment(15, 39), 120)


def traded(source: Any, code: str, day: date = DAY) -> list[Any]:
    """What the market itself says."""
    return simulator_of(source).market.minutes(code, day)


def thin_stock(source: Any, least: int, most: int) -> str:
    """A stock with so many minutes that day."""
    market = simulator_of(source).market
    for stock in market.stocks(DAY):
        if stock.group == "ST" and least <= len(market.minutes(stock.code, DAY)) <= most:
            return stock.code
    raise AssertionError


def lapses(rows: pl.DataFrame) -> list[time]:
    return rows["started_at"].dt.convert_time_zone("Asia/Seoul").dt.time().to_list()


# One page


def test_another_days_rows_are_told_apart() -> None:
    page = read(row("090100", 20), row("090000", 10), row("153000", 99, "20260316"))
    assert [bar["started_at"] for bar in page.bars] == [moment(9, 1), moment(9, 0)]
    assert page.others == {date(2026, 3, 16)}


def test_an_unknown_code_has_no_rows_and_no_price_though_kis_says_success() -> None:
    with pytest.raises(InvalidRequest):
        read(price="0")
    assert read().bars == []


def test_empty_rows_are_padding_and_no_minutes() -> None:
    blank = dict.fromkeys(row("090000", 10), "")
    assert len(read(row("090000", 10), blank, {}, blank | {"stck_prpr": "0"}).bars) == 1


WRONG = {
    "a price without a day": [row("090000", 10, stck_bsop_date="")],
    "out of order": [row("090000", 10), row("090100", 20)],
    "a minute twice": [row("090100", 20), row("090100", 20)],
    "later than asked alone": [row("160100", 20), row("160000", 10)],
    "a missing price": [row("090000", 10, stck_prpr="")],
    "a number that is none": [row("090000", 10, cntg_vol="abc")],
    "a price of 0": [row("090000", 10, stck_oprc="0")],
    "a negative volume": [row("090000", 10, cntg_vol="-1")],
    "a low above the high": [row("090000", 10, stck_lwpr="1020", stck_hgpr="1010")],
    "no time": [row("25000", 10)],
    "half a minute": [row("090030", 10)],
    "too many": [row(f"{9 + n // 60:02}{n % 60:02}00", 10) for n in range(120, -1, -1)],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_can_never_be_right_is_an_unexpected_answer(what: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        read(*WRONG[what])


def test_minutes_later_than_asked_are_left_out() -> None:
    page = read(row("160000", 20), row("153000", 10))
    assert [bar["started_at"] for bar in page.bars] == [moment(15, 30)]


def test_the_opens_first_bar_may_lie_outside_its_own_range() -> None:
    assert read(row("090000", 10, stck_oprc="1100")).bars[0]["open"] == 1100


def test_a_minutes_value_is_the_difference_of_running_sums_across_gaps() -> None:
    page = read(row("100000", 50), row("093000", 30), row("090000", 10))
    assert [bar["trading_value"] for bar in minutes.past(page, SESSION, EVENING)] == [10, 20, 20]


def test_a_running_sum_that_falls_is_an_unexpected_answer() -> None:
    with pytest.raises(UnexpectedAnswer, match="10:00 falls"):
        minutes.past(read(row("100000", 5), row("090000", 10)), SESSION, EVENING)


# A day of pages


class Server:
    """Minutes in pages of 3, or of what `size` is set to; `inclusive` gives the bound as well.

    In each minute 10 shares are traded at 1,000 KRW, and `before` had been traded before the first
    one. The pages that are `lost` hold no minute of the day; they are of the days `instead`.
    """

    def __init__(self, *clock: tuple[int, int], inclusive: bool = False, before: int = 0) -> None:
        self.bars = [
            {
                "started_at": moment(*at),
                "trading_day": DAY,
                "volume": 10,
                **dict.fromkeys(("open", "high", "low", "close"), 1000),
                "value_so_far": before + 10_000 * (len(clock) - number),
            }
            for number, at in enumerate(clock)
        ]
        self.inclusive = inclusive
        self.size = 3
        self.asked: list[str] = []
        self.others: frozenset[date] = frozenset()
        self.lost: tuple[int, ...] = ()
        self.instead: frozenset[date] = frozenset()

    def __call__(self, upto: datetime, latest: datetime) -> minutes.Page:
        self.asked.append(f"{upto:%H:%M}")
        if len(self.asked) in self.lost:
            return minutes.Page([], self.instead, None)
        bound = latest if self.inclusive else upto
        bars = [bar for bar in self.bars if bar["started_at"] <= bound][: self.size]
        others = self.others if len(bars) < self.size else frozenset[date]()
        return minutes.Page(bars, others, None)

    def day(self) -> list[str]:
        found = minutes.gather(self, SESSION, moment(15, 39))
        return [f"{bar['started_at']:%H:%M}" for bar in found.bars]


@pytest.mark.parametrize("inclusive", [False, True])
def test_the_boundary_bar_comes_once(inclusive: bool) -> None:
    server = Server((15, 30), (14, 0), (13, 0), (12, 0), (11, 0), inclusive=inclusive)
    assert server.day() == ["15:30", "14:00", "13:00", "12:00", "11:00"]
    assert server.asked[:2] == ["15:39", "12:59"]


def test_a_page_that_reaches_the_open_is_the_last_one() -> None:
    server = Server((9, 2), (9, 1), (9, 0))
    assert server.day() == ["09:02", "09:01", "09:00"]
    assert len(server.asked) == 1


def test_a_page_that_lost_rows_on_its_way_is_not_the_end_of_the_day() -> None:
    server = Server((15, 30), (14, 0), (13, 0), (12, 0), (11, 0), (10, 0))
    del server.bars[2]
    whole_pages, server.size = server.day(), 2
    assert server.day() == whole_pages == ["15:30", "14:00", "12:00", "11:00", "10:00"]


def test_a_page_that_leaves_the_day_is_the_last_one() -> None:
    server = Server((15, 30), (14, 0))
    server.others = frozenset({date(2026, 3, 16)})
    assert server.day() == ["15:30", "14:00"]
    assert len(server.asked) == 1


def test_a_page_of_a_day_that_cannot_come_there_is_not_the_end_of_the_day() -> None:
    server = Server((15, 30), (14, 0), (13, 0))
    server.others = frozenset({date(2026, 1, 16)})
    with pytest.raises(UnexpectedAnswer, match="2026-01-16"):
        server.day()
    server.others = frozenset({date(2026, 3, 16)})
    assert len(server.day()) == 3


# Where a day begins


SIX = ((15, 30), (14, 0), (13, 0), (12, 0), (11, 0), (10, 0))


def test_a_day_begins_with_the_bar_whose_running_sum_is_its_own() -> None:
    """Nothing comes before it; whoever is asked for what does says nothing."""
    server = Server(*SIX)
    assert len(server.day()) == 6
    assert server.asked == ["15:39", "12:59", "09:59", "09:59"]


def test_a_page_that_comes_empty_half_way_is_not_the_beginning() -> None:
    """The running sum of 13:00 is that of four minutes: something was traded before."""
    server = Server(*SIX)
    server.lost = (2, 3)
    assert len(server.day()) == 6
    server.asked, server.lost = [], (2, 3, 4, 5)
    with pytest.raises(UnexpectedAnswer, match=r"a part.*begin at 13:00 with 40,000 KRW"):
        server.day()


def test_a_page_of_the_day_before_alone_is_not_the_beginning() -> None:
    server = Server(*SIX)
    server.instead = frozenset({date(2026, 3, 16)})
    server.lost = (2,)
    assert len(server.day()) == 6
    server.asked, server.lost = [], (2, 3)
    with pytest.raises(UnexpectedAnswer, match="a part"):
        server.day()


@pytest.mark.parametrize(
    ("size", "asked"), [(3, ["15:39", "12:59", "13:00"]), (4, ["15:39", "13:00"])], ids=str
)
def test_what_was_traded_before_the_open_does_not_fail_a_day(size: int, asked: list[str]) -> None:
    """Trades at the close of the day before count into the sum: that day follows right behind."""
    server = Server((15, 30), (14, 0), (13, 0), before=1_000_000)
    server.others, server.size = frozenset({date(2026, 3, 16)}), size
    assert len(server.day()) == 3
    assert server.asked == asked


@pytest.mark.parametrize("times", [Fraction(1, 5), 10], ids=["split", "reverse split"])
def test_prices_on_another_axis_than_values_do_not_hide_a_lost_beginning(times: Fraction) -> None:
    """KIS adjusts past prices for splits since, and not what was traded."""
    server = Server(*SIX)
    for bar in server.bars:
        bar |= {name: int(1000 * times) for name in ("open", "high", "low", "close")}
    assert len(server.day()) == 6
    assert len(server.asked) == 4
    server.asked, server.lost = [], (2, 3, 4, 5)
    with pytest.raises(UnexpectedAnswer, match="a part"):
        server.day()


# Past days, from a server


def test_a_full_day_is_381_bars_in_4_requests(at: OpenAt) -> None:
    source = at(EVENING)
    fetched = source.tables.minute_candles([SAMSUNG], DAY)
    assert fetched.rows.height == 381
    assert simulator_of(source).calls(PAST) == 4
    clock = lapses(fetched.rows)
    assert (clock[0], clock[-2], clock[-1]) == (time(9, 0), time(15, 19), time(15, 30))
    assert fetched.rows.schema == MINUTE_CANDLES.schema


def test_the_rows_are_the_markets_own(at: OpenAt) -> None:
    source = at(EVENING)
    rows = source.tables.minute_candles([SAMSUNG], DAY).rows
    names = ("open", "high", "low", "close", "volume", "trading_value")
    for name in names:
        assert rows[name].to_list() == [getattr(bar, name) for bar in traded(source, SAMSUNG)]


@pytest.mark.parametrize(("least", "most", "requests"), [(10, 90, 1), (150, 230, 2)])
def test_a_thin_stock_costs_one_or_two_requests_and_a_missing_minute_stays_missing(
    at: OpenAt, least: int, most: int, requests: int
) -> None:
    source = at(EVENING)
    code = thin_stock(source, least, most)
    rows = source.tables.minute_candles([code], DAY).rows
    assert simulator_of(source).calls(PAST) == requests
    assert rows.height == len(traded(source, code))


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 3, 14), "not a trading day"),
        (date(2026, 3, 18), "has not begun"),
        (date(2026, 12, 31), "not a trading day|has not begun"),
        (date(2025, 1, 6), "no longer available"),
        (date(1990, 1, 3), "outside the calendar"),
    ],
)
def test_a_day_that_cannot_be_had_is_refused_before_a_request(
    at: OpenAt, day: date, said: str
) -> None:
    source = at(EVENING)
    with pytest.raises(InvalidRequest, match=said):
        source.tables.minute_candles([SAMSUNG], day)
    assert simulator_of(source).log == []


def test_246_sessions_are_kept_the_latest_one_included() -> None:
    days = calendar.trading_days(date(2025, 1, 1), DAY)
    assert minute_candles.oldest_kept(EVENING) == days[-246]
    assert minute_candles.kept_session(days[-246], EVENING).day == days[-246]
    with pytest.raises(InvalidRequest):
        minute_candles.kept_session(days[-247], EVENING)


def test_the_oldest_day_kept_is_fetched_whole(at: OpenAt) -> None:
    source = at(EVENING)
    day = minute_candles.oldest_kept(EVENING)
    rows = source.tables.minute_candles([SAMSUNG], day).rows
    assert rows.height == len(traded(source, SAMSUNG, day)) > 300
    assert set(rows["trading_day"]) == {day}


def test_another_days_bars_under_success_are_an_unexpected_answer(at: OpenAt) -> None:
    """What a holiday, a future or an unparsable date gets: 120 rows of another day."""
    source = at(EVENING)
    simulator_of(source).faults.another_days_bars = When(path=PAST)
    fetched = source.tables.minute_candles([SAMSUNG], DAY)
    assert isinstance(fetched.failed[SAMSUNG], UnexpectedAnswer)
    assert fetched.rows.is_empty()


def test_a_day_without_a_trade_is_no_failure(at: OpenAt) -> None:
    """KIS then goes on with the days before, as it does when it errs; the daily bar tells which."""
    source = at(EVENING)
    halted = next(s.code for s in simulator_of(source).market.stocks(DAY) if s.is_halted)
    fetched = source.tables.minute_candles([halted, "999999"], DAY)
    assert fetched.failed == {}
    assert fetched.rows.is_empty()
    assert fetched.absent == {
        halted: "KIS has no minute of it on this day",
        "999999": "KIS knows no such stock",
    }


def test_an_empty_page_is_asked_again(at: OpenAt) -> None:
    source = at(EVENING)
    whole = source.tables.minute_candles([SAMSUNG], DAY).rows
    for page in range(3):
        simulator_of(source).faults.no_rows = When(path=PAST, calls=1, skip=page)
        fetched = source.tables.minute_candles([SAMSUNG], DAY)
        assert fetched.rows.drop("fetched_at").equals(whole.drop("fetched_at"))


@pytest.mark.parametrize(
    ("page", "answered"), [(0, "no day"), (1, "a part"), (2, "a part"), (3, "a part")], ids=str
)
def test_pages_that_stay_empty_are_no_minutes_without_a_trade(
    at: OpenAt, page: int, answered: str
) -> None:
    """Nothing of a day is stored when its beginning is missing, were it 21 minutes of 381."""
    source = at(EVENING)
    simulator_of(source).faults.no_rows = When(path=PAST, skip=page)
    fetched = source.tables.minute_candles([SAMSUNG], DAY)
    assert fetched.rows.is_empty()
    assert f"minutes of {answered}, expected 2026-03-17" in str(fetched.failed[SAMSUNG])


def test_the_first_session_of_a_year_opens_at_10(at: OpenAt) -> None:
    day = date(2026, 1, 2)
    source = at(datetime(2026, 1, 2, 20, 50, tzinfo=calendar.SEOUL))
    rows = source.tables.minute_candles([SAMSUNG], day).rows
    assert lapses(rows)[0] == time(10, 0)
    assert rows.height == len(traded(source, SAMSUNG, day)) > 315


BAD_INPUT: dict[str, tuple[str, Any, type[KISError]]] = {
    "a page refused half-way": ("refuse_page", 3, RateLimited),
    "a page that repeats": ("repeat_page", When(path=PAST), UnexpectedAnswer),
    "rows out of order": ("rows_out_of_order", When(path=PAST, calls=1), UnexpectedAnswer),
    "a missing required field": (
        "missing_required_field",
        When(path=PAST, calls=1),
        UnexpectedAnswer,
    ),
    "a number that is none": ("bad_number", When(path=PAST, calls=1, skip=1), UnexpectedAnswer),
    "another day half-way": (
        "another_days_bars",
        When(path=PAST, calls=1, skip=1),
        UnexpectedAnswer,
    ),
    "HTML with status 200": ("html", When(path=PAST, calls=1, skip=2), ServiceUnavailable),
    "an empty body": ("empty", When(path=PAST, calls=1, skip=3), ServiceUnavailable),
}


@pytest.mark.parametrize("what", BAD_INPUT)
def test_bad_input_is_a_named_error_of_that_stock_and_the_run_goes_on(
    at: OpenAt, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kis_assets.transport.fan_out.ROUNDS", 1)
    source = at(EVENING)
    source.tables._workers = 1
    name, when, error = BAD_INPUT[what]
    setattr(simulator_of(source).faults, name, when)
    fetched = source.tables.minute_candles([SAMSUNG, HYNIX], DAY)
    assert SAMSUNG in fetched.failed
    assert {type(found) for found in fetched.failed.values()} == {error}
    for code in {SAMSUNG, HYNIX} - set(fetched.failed):
        stored = fetched.rows.filter(pl.col("stock_code") == code)
        assert stored.height == len(traded(source, code))
    assert fetched.rows.filter(pl.col("stock_code").is_in(list(fetched.failed))).is_empty()


def test_what_was_refused_for_the_rate_is_asked_again_and_is_whole(at: OpenAt) -> None:
    source = at(EVENING, kis_api_max_retries=1)
    simulator_of(source).faults.refuse_page = 3
    fetched = source.tables.minute_candles([SAMSUNG, HYNIX], DAY)
    assert fetched.failed == {}
    assert fetched.rows.height == 2 * 381


# Today


@pytest.mark.parametrize("page", [5, 12])
def test_todays_pages_that_stay_empty_are_not_the_beginning_either(at: OpenAt, page: int) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    simulator_of(source).faults.no_rows = When(path=TODAY, skip=page)
    fetched = source.tables.minute_candles([SAMSUNG], DAY)
    assert fetched.rows.is_empty()
    assert "minutes of a part, expected 2026-03-17" in str(fetched.failed[SAMSUNG])


def at_once(source: Any, code: str = SAMSUNG) -> list[dict[str, Any]]:
    return minute_candles.todays_minutes(source._client, code, SESSION)


def test_the_virtual_server_has_the_latest_session_in_13_requests(at: OpenAt) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    rows = source.tables.minute_candles([SAMSUNG], DAY).rows
    assert simulator_of(source).calls(TODAY) == 13
    past = at(EVENING).tables.minute_candles([SAMSUNG], DAY).rows
    assert rows.drop("fetched_at").equals(past.drop("fetched_at"))


def test_the_virtual_server_has_no_minutes_of_past_days(at: OpenAt) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    with pytest.raises(NotSupported, match="2026-03-16"):
        source.tables.minute_candles([SAMSUNG], date(2026, 3, 16))
    assert simulator_of(source).log == []


def test_never_beyond_now_for_what_is_to_come_is_invented(at: OpenAt) -> None:
    """At 10:31 KIS answers 11:30 with the price of 10:31."""
    source = at(moment(10, 31, 20))
    bars = at_once(source)
    assert bars[-1]["started_at"] == moment(10, 30)
    assert all(bar["started_at"] < moment(10, 31) for bar in bars)


def test_the_running_minute_is_not_what_it_will_be_and_is_left_out(at: OpenAt) -> None:
    page = read(row("103100", 40), row("103000", 40), row("102900", 30))
    bars = minutes.todays(page, SESSION, moment(10, 31, 30))
    assert bars[-1]["started_at"] == moment(10, 30)


def test_the_volume_of_the_minute_before_is_not_counted_again() -> None:
    """10:31 is over and nobody traded in it, but it still shows the 10 shares of 10:30."""
    page = read(row("103200", 40), row("103100", 40), row("103000", 40), row("102900", 30))
    bars = minutes.todays(page, SESSION, moment(10, 32, 30))
    assert [bar["started_at"].minute for bar in bars] == [29, 30]


def test_flat_bars_of_minutes_without_a_trade_are_dropped(at: OpenAt) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    code = thin_stock(source, 40, 200)
    assert [bar["started_at"] for bar in at_once(source, code)] == [
        bar.started_at for bar in traded(source, code)
    ]


@pytest.mark.parametrize("volume", ["20", "10"])
def test_the_closing_auction_is_counted_once(volume: str) -> None:
    """Its volume comes doubled, or not: it has one price, so its value tells."""
    close = {"stck_hgpr": "1000", "stck_lwpr": "1000", "cntg_vol": volume}
    page = read(row("153000", 30_000, **close), row("151900", 20_000), row("090000", 10_000))
    bars = minutes.todays(page, SESSION, EVENING)
    assert [bar["volume"] for bar in bars] == [10, 10, 10]
    assert bars[-1]["trading_value"] == 10_000


def test_a_closing_auction_of_an_odd_volume_is_not_doubled() -> None:
    close = {"stck_hgpr": "1000", "stck_lwpr": "1000", "cntg_vol": "21"}
    page = read(row("153000", 30_000, **close), row("151900", 20_000))
    assert minutes.todays(page, SESSION, EVENING)[-1]["volume"] == 21


def test_a_closing_auction_whose_value_is_doubled_too_is_found_by_the_days_volume() -> None:
    close = {"stck_hgpr": "1000", "stck_lwpr": "1000", "cntg_vol": "20"}
    page = read(row("153000", 40_000, **close), row("151900", 20_000), volume="20")
    last = minutes.todays(page, SESSION, EVENING)[-1]
    assert (last["volume"], last["trading_value"]) == (10, 10_000)


def test_a_doubled_closing_minute_from_a_server_is_stored_once(at: OpenAt) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    right = at_once(source)
    simulator_of(source).faults.doubled_closing_minute = True
    assert at_once(source) == right


def test_a_running_session_is_fetched_as_far_as_it_has_come(at: OpenAt) -> None:
    source = at(moment(10, 31, 20))
    rows = source.tables.minute_candles([SAMSUNG], DAY).rows
    assert simulator_of(source).calls(PAST) == 0
    assert rows.height == 91
    with pytest.raises(InvalidRequest, match="has not begun"):
        at(moment(8, 59)).tables.minute_candles([SAMSUNG], DAY)


# Charts


@pytest.mark.parametrize("period", [PriceType.WEEKLY, PriceType.MONTHLY])
@pytest.mark.parametrize("code", [SAMSUNG, HYNIX])
def test_weeks_and_months_are_kiss_own(at: OpenAt, period: PriceType, code: str) -> None:
    source = at(EVENING)
    answer = source._client.ask(
        DAILY_CHART,
        {
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_INPUT_ISCD": code,
            "FID_INPUT_DATE_1": "20230101",
            "FID_INPUT_DATE_2": "20260317",
            "FID_PERIOD_DIV_CODE": period.value,
            "FID_ORG_ADJ_PRC": "1",
        },
        dict,
    )
    own = [
        ChartData(
            code,
            bar["stck_bsop_date"],
            *(int(bar[f"stck_{name}"]) for name in ("oprc", "hgpr", "lwpr", "clpr")),
            int(bar["acml_vol"]),
            int(bar["acml_tr_pbmn"]),
            is_final=True,
        )
        for bar in answer["output2"]
        if bar
    ][:30]
    assert len(own) == 30
    assert source.get_chart_data(code, period, 30) == own


def bar(day: int, volume: int, *prices: int) -> dict[str, Any]:
    names = ("open", "high", "low", "close")
    return dict(zip(names, prices, strict=True)) | {
        "trading_day": date(2026, 3, day),
        "volume": volume,
        "trading_value": volume * prices[3],
    }


def test_a_week_leaves_out_days_without_a_trade_unless_all_are_such() -> None:
    halted, open_ = bar(13, 0, 0, 0, 0, 95), bar(12, 5, 100, 110, 90, 95)
    found = chart(SAMSUNG, [halted, open_], PriceType.WEEKLY, 1)
    assert found == [ChartData(SAMSUNG, "20260313", 100, 110, 90, 95, 5, 475)]
    assert chart(SAMSUNG, [halted], PriceType.WEEKLY, 1)[0].open_price == 0


def test_minutes_go_back_over_sessions_newest_first(at: OpenAt) -> None:
    source = at(EVENING)
    bars = source.get_chart_data(SAMSUNG, PriceType.MINUTE_1, 400)
    assert len(bars) == 400
    assert bars[0].date == "20260317153000"
    assert [bar.date for bar in bars] == sorted((bar.date for bar in bars), reverse=True)
    assert {bar.date[:8] for bar in bars} == {"20260317", "20260316"}
    assert simulator_of(source).calls(PAST) == 8


@pytest.mark.parametrize(
    ("period", "second", "bars_a_day"),
    [(PriceType.MINUTE_5, "151500", 77), (PriceType.MINUTE_30, "150000", 14)],
)
def test_buckets_are_made_of_minutes_and_the_closing_auction_is_its_own(
    at: OpenAt, period: PriceType, second: str, bars_a_day: int
) -> None:
    source = at(EVENING)
    bars = source.get_chart_data(SAMSUNG, period, bars_a_day)
    assert [bars[0].date, bars[1].date] == ["20260317153000", f"20260317{second}"]
    assert bars[-1].date == "20260317090000"
    day = traded(source, SAMSUNG)
    assert sum(bar.volume for bar in bars) == sum(bar.volume for bar in day)
    first = [bar for bar in day if bar.started_at < moment(9, int(period.value))]
    assert bars[-1].open_price == first[0].open
    assert bars[-1].high_price == max(bar.high for bar in first)
    assert bars[-1].close_price == first[-1].close


def test_days_without_a_trade_cost_no_request_for_minutes(at: OpenAt) -> None:
    source = at(EVENING)
    halted = next(s.code for s in simulator_of(source).market.stocks(DAY) if s.is_halted)
    source.get_chart_data(halted, PriceType.MINUTE_1, 5)
    assert simulator_of(source).calls(PAST) <= 4


def test_a_minute_chart_of_the_virtual_server_has_the_latest_session(at: OpenAt) -> None:
    source = at(EVENING, kis_use_virtual_server=True)
    assert len(source.get_chart_data(SAMSUNG, PriceType.MINUTE_30, 100)) == 14


# Stored


CHECKS = (
    checks.minutes_lie_in_the_session,
    checks.high_and_low_cover_open_and_close,
    checks.minutes_do_not_exceed_the_day,
    checks.closing_auction_is_the_close,
)


@pytest.fixture
def stored(at: OpenAt, tmp_path: Path) -> Window:
    """A lake with the day's minutes and candles of two stocks."""
    source = at(EVENING)
    lake = Lake(tmp_path / "kis", source="kis")
    codes = [SAMSUNG, HYNIX]
    lake.replace(
        MINUTE_CANDLES, Scope.day(DAY).of(codes), source.tables.minute_candles(codes, DAY).rows
    )
    candles = source.tables.daily_candles(codes, DAY, DAY).rows
    lake.replace(DAILY_CANDLES, Scope.month(DAY).of(codes), candles)
    return Window(lake, MINUTE_CANDLES, DAY, DAY, EVENING, lambda: source.tables)


def test_minutes_go_through_the_lakes_door_and_their_checks_pass(stored: Window) -> None:
    rows = stored.rows()
    assert rows.collect().height == 762
    for check in CHECKS:
        assert check(stored, rows).collect().is_empty(), check.__name__


def test_a_check_tells_what_fails_it(stored: Window) -> None:
    rows = stored.rows()
    first = pl.int_range(pl.len()) == 5
    spoilt = {
        checks.minutes_lie_in_the_session: pl.col("started_at") + timedelta(hours=6, minutes=20),
        checks.high_and_low_cover_open_and_close: pl.col("high") + 1,
        checks.minutes_do_not_exceed_the_day: pl.col("volume") * 10_000,
    }
    targets = ("started_at", "close", "volume")
    for (check, wrong), name in zip(spoilt.items(), targets, strict=True):
        broken = rows.with_columns(pl.when(first).then(wrong).otherwise(pl.col(name)).alias(name))
        assert check(stored, broken).collect().height == 1, check.__name__
    last = pl.when(pl.col("started_at") == utc(15, 30)).then(1).otherwise(pl.col("close"))
    assert (
        checks.closing_auction_is_the_close(stored, rows.with_columns(close=last)).collect().height
        == 2
    )


def test_the_open_of_the_first_minute_is_the_auctions(stored: Window) -> None:
    rows = stored.rows().with_columns(
        open=pl.when(pl.col("started_at") == utc(9, 0)).then(1).otherwise(pl.col("open"))
    )
    assert checks.high_and_low_cover_open_and_close(stored, rows).collect().is_empty()


@pytest.mark.slow
def test_a_whole_market_day_stays_within_its_memory_and_requests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kis_assets_tests.support.whole_market", str(tmp_path)]
    here = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    took = json.loads(done.stdout)
    assert took["failed"] == 0
    assert took["stocks"] == 2500
    assert took["requests"] <= 4 * 2500
    assert took["mb_peak"] < 400

"""Minutes of days with an after-market, 16:00 to 20:00 since 2026-09-14, while the clock walks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest

from kis_assets.errors import UnexpectedAnswer
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.kis import minute_days
from kis_assets.kis.client import Client
from kis_assets.simulator.market.after_market import takes_part
from kis_assets.simulator.market.market import Minute
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.bars import chart
from kis_assets.sources.record_types import ChartData, PriceType
from kis_assets.tables import MINUTE_CANDLES
from kis_assets_tests.conftest import OpenAt, market_at, simulator_of
from kis_assets_tests.support.in_process import checks, materialize, point_at

pytestmark = pytest.mark.usefixtures("published_when_read")

SAMSUNG, ETF, KONEX = "005930", "180210", "373640"
PAST, TODAY = "inquire-time-dailychartprice", "inquire-time-itemchartprice"
TUESDAY = date(2026, 9, 22)
FRIDAY = date(2026, 9, 18)
EXAM = date(2026, 11, 19)
"""The day of the university entrance examination: 10:00 to 16:30, and then from 17:00 on."""


def moment(day: date, text: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(text), calendar.SEOUL)


def session(day: date) -> calendar.Session:
    found = calendar.session(day)
    assert found is not None
    return found


def of_market(code: str, day: date, until: datetime | None = None) -> list[Minute]:
    """What was traded on a day in minutes that were over by then."""
    seen = market_at(moment(day + timedelta(days=5), "08:00")).minutes(code, day)
    return [it for it in seen if until is None or it.started_at + minute_days.MINUTE <= until]


def clock(rows: pl.DataFrame, name: str) -> list[time]:
    """The times of one session's rows in Seoul."""
    seoul = rows.filter(pl.col("session") == name)["started_at"].dt.convert_time_zone("Asia/Seoul")
    return seoul.dt.time().to_list()


WALK = {
    # now: the last regular minute, the last one of the after-market
    moment(TUESDAY, "15:35"): ("15:30", None),
    moment(TUESDAY, "16:00:30"): ("15:30", None),
    moment(TUESDAY, "16:05"): ("15:30", "16:04"),
    moment(TUESDAY, "19:59:30"): ("15:30", "19:58"),
    moment(TUESDAY, "20:05"): ("15:30", "19:59"),
    moment(date(2026, 9, 23), "08:30"): ("15:30", "19:59"),
}


@pytest.mark.parametrize(
    ("is_virtual", "now"),
    # The virtual server has the minutes of the latest day alone.
    [(False, now) for now in WALK] + [(True, now) for now in WALK if now.date() == TUESDAY],
    ids=str,
)
def test_minutes_are_there_as_far_as_the_day_has_come(
    at: OpenAt, now: datetime, is_virtual: bool
) -> None:
    source = at(now, kis_use_virtual_server=is_virtual)
    fetched = source.tables.minute_candles([SAMSUNG], TUESDAY)
    assert (fetched.failed, fetched.absent) == ({}, {})
    assert fetched.rows.schema == MINUTE_CANDLES.schema
    traded = of_market(SAMSUNG, TUESDAY, now)
    for name in ("open", "high", "low", "close", "volume"):
        assert fetched.rows[name].to_list() == [getattr(it, name) for it in traded]
    assert fetched.rows["trading_value"].sum() == sum(
        it.trading_value + it.value_before for it in traded
    )
    regular, after = WALK[now]
    assert clock(fetched.rows, "regular")[-1] == time.fromisoformat(regular)
    assert clock(fetched.rows, "after_market")[-1:] == (
        [time.fromisoformat(after)] if after else []
    )


def test_a_whole_day_takes_six_requests(at: OpenAt) -> None:
    source = at(moment(TUESDAY, "20:05"))
    rows = source.tables.minute_candles([SAMSUNG], TUESDAY).rows
    assert simulator_of(source).calls(PAST) == 6
    assert (clock(rows, "after_market")[0], len(clock(rows, "regular"))) == (time(16), 381)
    assert len(clock(rows, "after_market")) > 220


def test_a_late_day_has_its_sessions_an_hour_later_but_for_the_end(at: OpenAt) -> None:
    source = at(moment(EXAM, "21:10"))
    rows = source.tables.minute_candles([SAMSUNG], EXAM).rows
    regular, after = clock(rows, "regular"), clock(rows, "after_market")
    assert (regular[0], regular[-1], after[0], after[-1]) == (
        time(10), time(16, 30), time(17), time(19, 59),
    )  # fmt: skip
    assert rows.height == len(of_market(SAMSUNG, EXAM))


def test_a_friday_is_whole_on_the_sunday_after(at: OpenAt) -> None:
    sunday = moment(date(2026, 9, 20), "11:00")
    for is_virtual in (False, True):
        source = at(sunday, kis_use_virtual_server=is_virtual)
        rows = source.tables.minute_candles([SAMSUNG], FRIDAY).rows
        assert rows.height == len(of_market(SAMSUNG, FRIDAY))
        assert clock(rows, "after_market")[-1] == time(19, 59)


# What is asked for


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stock and time of every question for minutes."""
    asked: list[tuple[str, str]] = []
    ask: Callable[..., Any] = Client.ask

    def heard(self: Client, endpoint: Any, parameters: dict[str, str], *more: Any, **named: Any):
        if "FID_INPUT_HOUR_1" in parameters:
            asked.append((parameters["FID_INPUT_ISCD"], parameters["FID_INPUT_HOUR_1"]))
        return ask(self, endpoint, parameters, *more, **named)

    monkeypatch.setattr(Client, "ask", heard)
    return asked


@pytest.mark.parametrize(
    ("day", "now", "first"),
    [
        (TUESDAY, "20:05", "200000"),
        (TUESDAY, "17:30:20", "173000"),
        (EXAM, "21:10", "210000"),
        (date(2026, 9, 11), "20:05", "153900"),
    ],
    ids=["whole", "so far", "late day", "before 2026-09-14"],
)
def test_a_day_is_asked_for_from_its_end_backwards(
    at: OpenAt, hours: list[tuple[str, str]], day: date, now: str, first: str
) -> None:
    at(moment(day, now)).tables.minute_candles([SAMSUNG], day)
    assert hours[0] == (SAMSUNG, first)


@pytest.mark.parametrize("is_virtual", [False, True], ids=["real", "virtual"])
def test_nothing_after_the_close_is_asked_of_what_has_no_after_market(
    at: OpenAt, hours: list[tuple[str, str]], is_virtual: bool
) -> None:
    source = at(moment(TUESDAY, "20:05"), kis_use_virtual_server=is_virtual)
    market = simulator_of(source).market
    fund = next(
        it.code for it in market.stocks(TUESDAY)
        if not takes_part(it) and market.minutes(it.code, TUESDAY)
    )  # fmt: skip
    rows = source.tables.minute_candles([SAMSUNG, fund], TUESDAY, regular_only=[fund]).rows
    assert max(hour for code, hour in hours if code == fund) == "153900"
    assert max(hour for code, hour in hours if code == SAMSUNG) == "200000"
    assert rows.filter(stock_code=fund)["session"].unique().to_list() == ["regular"]


def test_the_asset_asks_nothing_after_the_close_of_an_etf_and_of_konex(
    monkeypatch: pytest.MonkeyPatch, hours: list[tuple[str, str]]
) -> None:
    now = moment(TUESDAY, "20:05")
    server = Simulator(market_at(now), rate_limit=0, token_window=0.0)
    point_at(server, monkeypatch, now, KIS_STOCK_CODES=f"{SAMSUNG},{ETF},{KONEX}")
    result = materialize("minute_candles", TUESDAY.isoformat())
    assert result.success
    assert checks(result)["minutes_lie_in_the_session"]
    newest = {code: max(hour for asked, hour in hours if asked == code) for code, _ in hours}
    assert newest == {SAMSUNG: "200000", ETF: "153900", KONEX: "153900"}


def test_of_other_venues_the_regular_session_is_asked_for(
    at: OpenAt, hours: list[tuple[str, str]]
) -> None:
    source = at(moment(TUESDAY, "20:05"))
    source.get_chart_data(SAMSUNG, PriceType.MINUTE_1, 5, venue=Venue.UNIFIED)
    assert hours[0] == (SAMSUNG, "153900")


@pytest.mark.parametrize("page", range(6))
def test_no_page_of_the_day_may_be_lost(at: OpenAt, page: int) -> None:
    source = at(moment(TUESDAY, "20:05"))
    simulator_of(source).faults.no_rows = When(path=PAST, skip=page)
    fetched = source.tables.minute_candles([SAMSUNG], TUESDAY)
    assert fetched.rows.is_empty()
    assert isinstance(fetched.failed[SAMSUNG], UnexpectedAnswer)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_day_is_whole_once_an_empty_page_was_a_lapse(at: OpenAt, calls: int) -> None:
    source = at(moment(TUESDAY, "20:05"))
    simulator_of(source).faults.empty_minutes = When(calls=calls, skip=2)
    fetched = source.tables.minute_candles([SAMSUNG], TUESDAY)
    assert fetched.failed == {}
    assert fetched.rows.height == len(of_market(SAMSUNG, TUESDAY))


# What is not known of KIS


def bar(at: datetime, value: int, volume: int = 10, price: int = 1000) -> dict[str, Any]:
    """A minute as a page holds it; `value` is the running sum."""
    return {
        "started_at": at,
        "trading_day": at.date(),
        **dict.fromkeys(("open", "high", "low", "close"), price),
        "volume": volume,
        "value_so_far": value,
    }


def page(*bars: dict[str, Any], volume: int = 10**9) -> minute_days.Page:
    """Bars that were given oldest first."""
    return minute_days.Page([*reversed(bars)], frozenset(), volume)


@pytest.mark.parametrize("is_virtual", [False, True], ids=["real", "virtual"])
def test_a_last_minute_that_a_server_labels_by_its_end_is_stored(
    at: OpenAt, is_virtual: bool
) -> None:
    source = at(moment(TUESDAY, "20:05"), kis_use_virtual_server=is_virtual)
    simulator_of(source).faults.minute_of_2000 = True
    rows = source.tables.minute_candles([SAMSUNG], TUESDAY).rows
    assert rows.height == len(of_market(SAMSUNG, TUESDAY))
    assert clock(rows, "after_market")[-2:] == [time(19, 58), time(20)]


@pytest.mark.parametrize(
    ("day", "last"),
    [(TUESDAY, "19:59"), (TUESDAY, "20:00"), (EXAM, "20:00"), (EXAM, "20:59"), (EXAM, "21:00")],
)
def test_the_last_bar_may_be_labelled_by_the_end(day: date, last: str) -> None:
    """And a late day's after-market may last an hour longer: it did not when that was last seen."""
    at = moment(day, last)
    assert at <= minute_days.last_minute(session(day), regular_only=False)
    (found,) = minute_days.past(page(bar(at, 10_000)), session(day), at + timedelta(minutes=5))
    assert found["session"] == "after_market"


def test_trades_at_the_closing_price_are_no_minutes_and_count_into_no_other(at: OpenAt) -> None:
    """Whether KIS has bars of them is not known; where it has, they are of neither session."""
    found = minute_days.past(
        page(
            bar(moment(TUESDAY, "15:30"), 10_000),
            bar(moment(TUESDAY, "15:32"), 20_000),  # an extended auction
            bar(moment(TUESDAY, "15:40"), 50_000),
            bar(moment(TUESDAY, "15:59"), 60_000),
            bar(moment(TUESDAY, "16:00"), 70_000),
        ),
        session(TUESDAY),
        moment(TUESDAY, "20:05"),
    )
    assert [(f"{it['started_at']:%H:%M}", it["session"], it["trading_value"]) for it in found] == [
        ("15:30", "regular", 10_000),
        ("15:32", "regular", 10_000),
        ("16:00", "after_market", 10_000),
    ]


@pytest.mark.parametrize("doubled", [False, True])
def test_the_days_volume_tells_a_doubled_auction_also_in_the_evening(doubled: bool) -> None:
    """It holds the after-market then, and so must the sum of minutes that is held against it."""
    auction = 200 if doubled else 100
    bars = [
        bar(moment(TUESDAY, "15:19"), 10_000),
        bar(moment(TUESDAY, "15:30"), 10_000 + auction * 1000, auction),
        bar(moment(TUESDAY, "16:00"), 220_000 + 500_000, 500),
        bar(moment(TUESDAY, "16:10"), 220_000 + 600_000, 100),  # the minute that runs
    ]
    traded = page(*bars, volume=10 + 100 + 500 + 100)
    found = minute_days.todays(traded, session(TUESDAY), moment(TUESDAY, "16:10:30"))
    assert [it["volume"] for it in found] == [10, 100, 500]


# A thin stock


class Thin:
    """What a client is told of a stock with these minutes and this daily bar."""

    def __init__(self, bars: list[tuple[str, int]], day: dict[str, Any]) -> None:
        self.bars, self.day = bars, day

    def ask(self, endpoint: Any, parameters: dict[str, str], read: Any, **_: Any) -> Any:
        if "FID_INPUT_HOUR_1" not in parameters:
            return [{"trading_day": TUESDAY, "has_traded": True} | self.day]
        upto = time.fromisoformat(parameters["FID_INPUT_HOUR_1"])
        rows: list[dict[str, str]] = []
        value = 0
        for text, volume in self.bars:
            value += volume * 1000
            if time.fromisoformat(text) <= upto:
                prices = ("stck_prpr", "stck_oprc", "stck_hgpr", "stck_lwpr")
                rows.append(
                    {"stck_bsop_date": "20260922", "stck_cntg_hour": text.replace(":", "") + "00"}
                    | dict.fromkeys(prices, "1000")
                    | {"cntg_vol": str(volume), "acml_tr_pbmn": str(value)}
                )
        about = {"stck_prpr": "1000", "acml_vol": str(self.day["volume"])}
        return read({"output1": about, "output2": rows[::-1]})


@pytest.mark.parametrize(
    ("bars", "volume"),
    [
        ([("10:05", 3), ("18:30", 1000)], 1003),
        ([("18:30", 1000)], 1000),
        ([("10:05", 3)], 5000),
    ],
    ids=["mainly after 16:00", "only after 16:00", "mainly at the closing price"],
)
def test_a_thin_stock_that_trades_outside_the_session_is_no_failure(
    at: OpenAt, monkeypatch: pytest.MonkeyPatch, bars: list[tuple[str, int]], volume: int
) -> None:
    source = at(moment(TUESDAY, "20:05"))
    monkeypatch.setattr(
        source.tables._patient, "ask", Thin(bars, {"open": 1000, "volume": volume}).ask
    )
    fetched = source.tables.minute_candles([SAMSUNG], TUESDAY)
    assert fetched.failed == {}
    assert fetched.rows["volume"].to_list() == [traded for _, traded in bars]


@pytest.mark.parametrize(
    ("opened", "volume", "fails"), [(0, 0, False), (0, 7, False), (1000, 7, True)]
)
def test_no_minute_at_all_of_a_day_with_an_opening_price_is_a_lapse(
    at: OpenAt, monkeypatch: pytest.MonkeyPatch, opened: int, volume: int, fails: bool
) -> None:
    """Volume without an opening price is of trades outside the session."""
    source = at(moment(TUESDAY, "20:05"))
    monkeypatch.setattr(
        source.tables._patient, "ask", Thin([], {"open": opened, "volume": volume}).ask
    )
    fetched = source.tables.minute_candles([SAMSUNG], TUESDAY)
    assert (SAMSUNG in fetched.failed, SAMSUNG in fetched.absent) == (fails, not fails)


# Charts of programs


def test_a_chart_of_minutes_goes_back_over_both_sessions(at: OpenAt) -> None:
    source = at(moment(TUESDAY, "20:05"))
    bars = source.get_chart_data(SAMSUNG, PriceType.MINUTE_30, 22)
    assert bars[0].date == "20260922193000"
    dates = [bar.date for bar in bars]
    assert dates[6:10] == ["20260922163000", "20260922160000", "20260922153000", "20260922150000"]
    assert dates[-1] == "20260922090000"
    assert sum(bar.volume for bar in bars) == sum(it.volume for it in of_market(SAMSUNG, TUESDAY))


def test_no_bar_is_of_two_sessions() -> None:
    """Not even where an auction ends late: 16:39 and 16:45 lie in the same half-hour."""
    both = [
        bar(moment(EXAM, text), 0) | {"session": name, "trading_value": 10_000}
        for text, name in (("16:45", "after_market"), ("16:39", "regular"))
    ]
    found = chart(SAMSUNG, both, PriceType.MINUTE_30, 5)
    assert found == [ChartData(SAMSUNG, "20261119163000", 1000, 1000, 1000, 1000, 10, 10_000)] * 2

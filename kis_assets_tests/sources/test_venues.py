"""KRX, NXT and both as one: hours, market codes, lists of stocks, and rows that never mix."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import pytest

from kis_assets.defs.availability import live_session
from kis_assets.errors import InvalidRequest
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue, latest_session, phases, session_at, venue_session
from kis_assets.kis import daily_candles, master_files, quotes
from kis_assets.settings import Settings, SettingsError
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.sources.mock import MockDataSource
from kis_assets.sources.record_types import PriceType
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS, STOCK_MASTER
from kis_assets_tests.conftest import EVENING, open_source
from kis_assets_tests.support.in_process import checks, materialize, point_at, rows

DAY = EVENING.date()
SAMSUNG = "005930"
SUNEUNG = date(2025, 11, 13)


def at(*clock: int, day: date = DAY) -> datetime:
    return datetime.combine(day, time(*clock), calendar.SEOUL)


def spans(day: date, venue: Venue) -> list[tuple[str, str, str]]:
    return [
        (phase.name, f"{phase.opens_at:%H:%M:%S}", f"{phase.closes_at:%H:%M:%S}")
        for phase in phases(day, venue)
    ]


@pytest.fixture
def asked(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The service and the market code of every request, in order."""
    found: list[tuple[str, str]] = []
    handle: Callable[..., Any] = simulator.handle

    def record(method: str, path: str, query: list[tuple[str, str]], *rest: Any) -> Any:
        for name, value in query:
            if name.startswith("FID_COND_MRKT_DIV_CODE"):
                found.append((path.rpartition("/")[2], value))
        return handle(method, path, query, *rest)

    monkeypatch.setattr(simulator, "handle", record)
    return found


# Hours


def test_nxt_trades_before_and_after_krx() -> None:
    assert spans(DAY, Venue.NXT) == [
        ("pre_market", "08:00:00", "08:50:00"),
        ("main", "09:00:30", "15:20:00"),
        ("after_market", "15:40:00", "20:00:00"),
    ]
    assert spans(DAY, Venue.KRX) == [
        ("regular", "09:00:00", "15:30:00"),
        ("closing_price", "15:30:00", "16:00:00"),
    ]
    assert [name for name, _, _ in spans(DAY, Venue.UNIFIED)] == [
        *("pre_market", "regular", "closing_price", "after_market")
    ]


def test_krx_has_an_after_market_since_14_september_2026() -> None:
    assert spans(date(2026, 9, 11), Venue.KRX) == spans(DAY, Venue.KRX)
    assert spans(date(2026, 9, 14), Venue.KRX) == [
        ("regular", "09:00:00", "15:30:00"),
        ("closing_price", "15:30:00", "16:00:00"),
        ("after_market", "16:00:00", "20:00:00"),
    ]


@pytest.mark.parametrize(
    ("day", "opens", "closes", "after_market"),
    [
        (date(2026, 11, 19), "10:00:00", "16:30:00", ("17:00:00", "20:00:00")),
        (date(2027, 1, 4), "10:00:00", "15:30:00", ("16:00:00", "20:00:00")),
    ],
)
def test_a_late_day_moves_the_after_markets_beginning_and_not_its_end(
    day: date, opens: str, closes: str, after_market: tuple[str, str]
) -> None:
    assert spans(day, Venue.KRX)[0] == ("regular", opens, closes)
    assert spans(day, Venue.KRX)[-1] == ("after_market", *after_market)


@pytest.mark.parametrize(
    ("clock", "on_krx", "on_nxt", "on_both"),
    [
        ((7, 59), "pre_open", "pre_open", "pre_open"),
        ((8, 30), "pre_open", "pre_market", "pre_market"),
        ((8, 55), "pre_open", "closed", "closed"),
        ((9, 1), "regular", "regular", "regular"),
        ((15, 29), "regular", "closed", "regular"),
        ((15, 30), "closing_price", "closed", "closing_price"),
        ((15, 59), "closing_price", "after_market", "closing_price"),
        ((16, 0), "after_market", "after_market", "after_market"),
        ((19, 59), "after_market", "after_market", "after_market"),
        ((20, 0), "closed", "closed", "closed"),
    ],
)
def test_an_instant_of_a_day_lies_in_a_session(
    clock: tuple[int, int], on_krx: str, on_nxt: str, on_both: str
) -> None:
    thursday = date(2026, 10, 1)
    seen = [session_at(thursday, at(*clock, day=thursday), venue) for venue in Venue]
    assert seen == [on_krx, on_nxt, on_both]
    assert session_at(thursday, at(2, day=date(2026, 10, 2))) == "closed"


def test_nxt_began_on_4_march_2025() -> None:
    assert phases(date(2025, 3, 4), Venue.NXT)
    assert phases(date(2025, 2, 28), Venue.NXT) == ()
    assert spans(date(2025, 2, 28), Venue.UNIFIED) == spans(date(2025, 2, 28), Venue.KRX)
    with pytest.raises(ValueError, match="NXT had no session"):
        latest_session(at(12, day=date(2025, 2, 28)), Venue.NXT)


def test_no_venue_trades_on_a_holiday() -> None:
    for venue in Venue:
        assert venue_session(date(2026, 3, 21), venue) is None


@pytest.mark.parametrize(
    ("day", "main", "after_market"),
    [
        (SUNEUNG, ("10:00:30", "16:20:00"), ("16:40:00", "20:00:00")),
        (date(2027, 1, 4), ("10:00:30", "15:20:00"), ("15:40:00", "20:00:00")),
        (date(2025, 3, 4), ("10:00:30", "15:20:00"), ("15:40:00", "20:00:00")),
    ],
)
def test_on_a_late_day_nxt_has_no_pre_market(
    day: date, main: tuple[str, str], after_market: tuple[str, str]
) -> None:
    assert spans(day, Venue.NXT) == [("main", *main), ("after_market", *after_market)]


def test_in_the_pre_market_the_day_has_begun_on_nxt_and_not_on_krx() -> None:
    early = at(8, 10)
    assert latest_session(early, Venue.NXT).day == DAY
    assert latest_session(early, Venue.KRX).day == calendar.previous_trading_day(DAY)
    assert live_session(DAY.isoformat(), early, venue=Venue.NXT).day == DAY
    with pytest.raises(InvalidRequest, match="has not begun"):
        live_session(DAY.isoformat(), early)


# Questions


@pytest.mark.parametrize(
    ("venue", "code"), [(None, "J"), (Venue.KRX, "J"), (Venue.NXT, "NX"), (Venue.UNIFIED, "UN")]
)
def test_every_quote_is_asked_for_on_the_venue_that_is_named(
    source: KISDataSource, asked: list[tuple[str, str]], venue: Venue | None, code: str
) -> None:
    source.get_current_price(SAMSUNG, venue=venue)
    source.get_order_book(SAMSUNG, venue=venue)
    source.get_chart_data(SAMSUNG, PriceType.DAILY, 5, venue=venue)
    source.get_chart_data(SAMSUNG, PriceType.MINUTE_1, 5, venue=venue)
    client = source._client.asking(venue=venue)
    quotes.prices(client, (SAMSUNG, "000660"))
    daily_candles.daily_page(client, SAMSUNG, DAY, DAY)
    assert {market for _, market in asked} == {code}
    assert {name for name, _ in asked} == {
        *("inquire-price", "inquire-asking-price-exp-ccn", "inquire-daily-itemchartprice"),
        *("inquire-time-dailychartprice", "intstock-multprice"),
    }


def test_a_stock_that_nxt_does_not_trade_is_unknown_there(
    simulator: Simulator, source: KISDataSource
) -> None:
    code = next(stock.code for stock in simulator.market.stocks(DAY) if not stock.on_nxt)
    with pytest.raises(InvalidRequest, match=code):
        source.get_current_price(code, venue=Venue.NXT)


def test_the_stocks_of_nxt_come_from_its_master_files(
    simulator: Simulator, source: KISDataSource
) -> None:
    wanted = {stock.code for stock in simulator.market.stocks(DAY) if stock.on_nxt}
    assert master_files.nxt_codes(source._client) == wanted
    assert 100 < len(wanted) < 1_000


# Settings


def test_each_venue_has_its_own_rows_and_an_account_one_token() -> None:
    krx_, nxt, both = (Settings.load(kis_venue=venue) for venue in ("krx", "NXT", "unified"))
    assert [each.source_dir.name for each in (krx_, nxt, both)] == [
        *("mock", "mock-nxt", "mock-unified")
    ]
    assert krx_.state_dir == nxt.state_dir == both.state_dir


def test_a_wrong_venue_is_one_sentence() -> None:
    with pytest.raises(SettingsError, match=r"KIS_VENUE=nyse: .*'krx', 'nxt' or 'unified'"):
        Settings.load(kis_venue="nyse")
    with pytest.raises(SettingsError, match="contradict"):
        Settings.load(kis_venue="nxt", data_source_type="krx", krx_api_key="K" * 40)


def test_the_mock_market_has_venues_too() -> None:
    with MockDataSource(Settings.load(kis_venue="nxt")) as mock:
        assert mock.name == "mock-nxt"


# Assets


def test_rows_of_nxt_stand_apart(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, str]]
) -> None:
    point_at(simulator, monkeypatch)
    assert materialize("price_snapshots", DAY.isoformat()).success
    before = rows(PRICE_SNAPSHOTS)
    asked.clear()
    monkeypatch.setenv("KIS_VENUE", "nxt")
    for asset, partition in (
        ("stock_master", DAY.isoformat()),
        ("price_snapshots", DAY.isoformat()),
        ("daily_candles", "2026-03-01"),
    ):
        result = materialize(asset, partition)
        assert result.success
        assert all(checks(result).values()), checks(result)
    assert {market for _, market in asked} == {"NX"}
    for table in (STOCK_MASTER, PRICE_SNAPSHOTS, DAILY_CANDLES):
        assert set(rows(table)["source"]) == {"kis-nxt"}
    wanted = {stock.code for stock in simulator.market.stocks(DAY) if stock.on_nxt}
    assert set(rows(STOCK_MASTER)["stock_code"]) == wanted
    monkeypatch.setenv("KIS_VENUE", "krx")
    assert rows(PRICE_SNAPSHOTS).equals(before)


def test_the_universe_of_nxt_is_what_it_trades_of_the_universe(
    simulator: Simulator, settings: Settings
) -> None:
    with open_source(simulator, settings.model_copy(update={"kis_venue": Venue.NXT})) as source:
        listed = source.tables.stock_master(DAY)
    traded = {stock.code for stock in simulator.market.stocks(DAY) if stock.on_nxt}
    assert set(listed["stock_code"]) == traded
    assert set(listed["source"]) == {"kis-nxt"}

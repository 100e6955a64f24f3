"""The invented market holds together: bars, snapshots, minutes, books, actions tell one story."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import pytest

from kis_assets.exchange import calendar
from kis_assets.exchange.stocks import is_stock_code
from kis_assets.simulator.market.market import ETP_GROUPS, Bar, Market, Piece, Stock
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.market.moments import before_after_market
from kis_assets.simulator.market.prices import grid_of, prices_of
from kis_assets.simulator.server import command
from kis_assets.simulator.server.server import Simulator

DAY = date(2026, 11, 18)
EVENING = datetime(2026, 11, 20, 18, 0, tzinfo=calendar.SEOUL)


@pytest.fixture(scope="module")
def market() -> ModelMarket:
    return ModelMarket(0, lambda: EVENING)


def common(market: Market, day: date) -> list[Stock]:
    return [
        stock for stock in market.stocks(day)
        if stock.group == "ST" and not stock.preferred and not stock.is_spac
    ]  # fmt: skip


def regular_of(bar: Bar) -> Piece:
    """What was traded before the after-market."""
    bar = before_after_market(bar)
    return Piece(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trading_value)


def some(stocks: list[Stock] | object, count: int) -> list[Stock]:
    return random.Random(5).sample(list(stocks), count)  # type: ignore[call-overload]


@pytest.mark.parametrize("year", [2020, 2023, 2026, 2030])
def test_any_day_of_a_decade_has_2500_common_shares(market: ModelMarket, year: int) -> None:
    stocks = common(market, date(year, 7, 1))
    assert len(stocks) >= 2_500
    assert sum(stock.market == "KOSPI" for stock in stocks) >= 790
    assert {stock.market for stock in stocks} == {"KOSPI", "KOSDAQ"}


def test_every_kind_of_issue_is_listed(market: ModelMarket) -> None:
    stocks = market.stocks(DAY)
    assert {"ST", "KN", "EF", "EN", "RT", "IF", "FS", "EW"} == {stock.group for stock in stocks}
    assert {stock.preferred for stock in stocks} == {0, 1, 2}
    assert sum(stock.is_spac for stock in stocks) > 20
    assert any(stock.is_halted for stock in stocks)
    assert any(stock.is_administrative for stock in stocks)
    assert all(stock.code.startswith("Q") for stock in stocks if stock.group == "EN")
    names = {stock.code: stock.name for stock in stocks}
    assert names["005930"] == "삼성전자"
    assert names["005935"] == "삼성전자우"
    assert "00781K" in names
    lettered = [code for code in names if not code[:5].isdigit() and not code.startswith("Q")]
    assert len(lettered) >= 40
    assert all(is_stock_code(code) for code in names)
    assert len(set(names.values())) == len(names)


def test_a_seed_is_the_same_market_in_every_process(market: ModelMarket) -> None:
    """As it was before the after-market began."""
    (bar,) = market.bars("035420", date(2026, 9, 11), date(2026, 9, 11))
    assert bar[:9] == (
        bar.day, 184_800, 185_800, 182_000, 184_600, 1_209_868, 223_075_461_840, -1_300, -70,
    )  # fmt: skip
    assert bar.after is None
    other = ModelMarket(1, lambda: EVENING)
    assert other.bars("035420", bar.day, bar.day) != [bar]


def test_a_month_does_not_depend_on_what_was_asked_before(market: ModelMarket) -> None:
    prices_of.cache_clear()
    fresh = ModelMarket(0, lambda: EVENING)
    whole = market.bars("000660", date(2015, 1, 1), DAY)
    assert fresh.bars("000660", date(2021, 6, 1), date(2021, 6, 30)) == [
        bar for bar in whole if (bar.day.year, bar.day.month) == (2021, 6)
    ]


def test_bars_are_legal_and_joined(market: ModelMarket) -> None:
    for stock in some(market.stocks(DAY), 25):
        bars = market.bars(stock.code, date(2022, 1, 1), DAY)
        for before, bar in zip([None, *bars], bars, strict=False):
            ticks = grid_of(stock, bar.day)
            if before:
                assert bar.previous_close == before.close
            assert bar.close - bar.change == bar.base
            if not bar.volume:
                assert (bar.open, bar.high, bar.low, bar.change) == (0, 0, 0, bar.close - bar.base)
                continue
            assert bar.low <= min(bar.open, bar.close)
            assert max(bar.open, bar.close) <= bar.high
            for part in (regular_of(bar), *([bar.after] if bar.after else [])):
                assert part.low * part.volume <= part.value <= part.high * part.volume
            assert all(ticks.nearest(p) == p for p in (bar.open, bar.high, bar.low, bar.close))
            lower, upper = ticks.limits(bar.base)
            if bar.day == stock.listed_on:
                lower, upper = bar.base * 6 // 10, bar.base * 4
            assert lower <= bar.low
            assert bar.high <= upper
            moved = bar.base != bar.previous_close
            assert moved == bool(bar.ex_flag == "01" or bar.revaluation) or not moved


def test_snapshot_minutes_and_bar_agree(market: ModelMarket) -> None:
    chance = random.Random(1)
    for stock in some(market.stocks(DAY), 60):
        bars = market.bars(stock.code, DAY, DAY)
        if not bars or not bars[0].volume:
            assert market.minutes(stock.code, DAY) == []
            continue
        bar = regular_of(bars[0])
        minutes = [
            minute for minute in market.minutes(stock.code, DAY)
            if minute.started_at < datetime(2026, 11, 18, 16, tzinfo=calendar.SEOUL)
        ]  # fmt: skip
        assert minutes[0].open == bar.open
        assert minutes[-1].close == bar.close
        assert max(minute.high for minute in minutes) == bar.high
        assert min(minute.low for minute in minutes) == bar.low
        total = sum(minute.volume for minute in minutes)
        assert total <= bar.volume
        if bar.volume > 1_000:
            assert total / bar.volume == pytest.approx(0.984, abs=0.001)
        assert sum(minute.trading_value for minute in minutes) <= bar.value
        for _ in range(3):
            moment = datetime(2026, 11, 18, 9, tzinfo=calendar.SEOUL) + timedelta(
                minutes=chance.randrange(389), seconds=30
            )
            quote = market.quote(stock.code, moment)
            assert quote is not None
            seen = [minute for minute in minutes if minute.started_at <= moment]
            assert quote.bar.volume == sum(minute.volume for minute in seen)
            assert quote.bar.trading_value == sum(minute.trading_value for minute in seen)
            if seen:
                assert quote.price == seen[-1].close
                assert quote.bar.high == max(minute.high for minute in seen)
        closed = market.quote(stock.code, datetime(2026, 11, 18, 15, 59, 59, tzinfo=calendar.SEOUL))
        assert closed is not None
        assert closed.bar[1:5] == bar[:4]
        assert total <= closed.bar.volume <= bar.volume


def test_before_the_open_there_is_the_previous_close_and_nothing_else(market: ModelMarket) -> None:
    early = market.quote("005930", datetime(2026, 11, 18, 8, 50, tzinfo=calendar.SEOUL))
    assert early is not None
    assert early.bar.day == DAY
    assert early.price == early.bar.previous_close
    assert (early.bar.open, early.bar.high, early.bar.low, early.bar.volume) == (0, 0, 0, 0)


def test_liquid_stocks_trade_every_minute_and_thin_ones_do_not(market: ModelMarket) -> None:
    shares: dict[bool, list[float]] = {True: [], False: []}
    for stock in some(common(market, DAY), 250):
        bars = market.bars(stock.code, DAY, DAY)
        if bars and bars[0].volume:
            value = bars[0].trading_value
            if value >= 10e9 or value < 0.5e9:
                share = len(market.minutes(stock.code, DAY)) / 381
                shares[value >= 10e9].append(share)
    liquid, thin = (sorted(shares[which]) for which in (True, False))
    assert liquid[len(liquid) // 2] > 0.99
    assert 0.2 < thin[len(thin) // 2] < 0.65


def test_minutes_have_no_bar_during_the_closing_auction(market: ModelMarket) -> None:
    labels = {f"{minute.started_at:%H%M}" for minute in market.minutes("005930", DAY)}
    assert {"0900", "1519", "1530"} <= labels
    assert not any("1520" <= label <= "1529" for label in labels)


def test_an_entrance_exam_day_runs_an_hour_later(market: ModelMarket) -> None:
    labels = [f"{m.started_at:%H%M}" for m in market.minutes("005930", date(2026, 11, 19))]
    regular = [label for label in labels if label < "1700"]
    assert (regular[0], regular[-1]) == ("1000", "1630")


@pytest.mark.parametrize("month", [date(2021, 2, 1), date(2024, 9, 1), date(2026, 11, 1)])
def test_every_month_has_a_split_a_reverse_split_and_a_bonus_issue(
    market: ModelMarket, month: date
) -> None:
    last = month + timedelta(days=27)
    kinds = {action.kind for action in market.actions(month, last)}
    assert {"split", "reverse_split", "bonus", "rights", "reduction"} <= kinds


def test_a_split_halts_rebases_and_multiplies_the_shares(market: ModelMarket) -> None:
    action = next(
        a for a in market.actions(date(2026, 10, 1), date(2026, 10, 31)) if a.kind == "split"
    )
    bars = market.bars(action.code, date(2026, 9, 1), DAY)
    place = next(n for n, bar in enumerate(bars) if bar.day == action.ex_day)
    before, after = bars[place - 1], bars[place]
    assert [bar.volume for bar in bars[place - 3 : place]] == [0, 0, 0]
    assert after.listed_shares == before.listed_shares * action.factor.denominator
    assert after.revaluation == "99"
    assert after.base == pytest.approx(float(before.close * action.factor), rel=0.01)
    assert market.adjustment(action.code, before.day, DAY) == action.factor
    assert market.adjustment(action.code, after.day, DAY) == 1


def test_a_first_day_knows_no_ordinary_limit(market: ModelMarket) -> None:
    newcomers = [s for s in market.stocks(DAY) if s.listed_on and s.listed_on.year == 2026]
    assert newcomers
    moved: list[float] = []
    for stock in newcomers:
        assert stock.listed_on
        first = market.bars(stock.code, date(2020, 1, 1), DAY)[0]
        assert first.day == stock.listed_on
        assert 0.6 <= first.close / first.base <= 4.0
        moved.append(abs(first.close / first.base - 1))
    assert max(moved) > 0.31


def test_halted_stocks_carry_their_close(market: ModelMarket) -> None:
    halted = [stock for stock in market.stocks(DAY) if stock.is_halted]
    assert halted
    for stock in halted:
        (bar,) = market.bars(stock.code, DAY, DAY)
        assert (bar.open, bar.high, bar.low, bar.volume) == (0, 0, 0, 0)
        assert bar.close == bar.previous_close
        assert market.book(stock.code, datetime(2026, 11, 18, 10, tzinfo=calendar.SEOUL)) is None


def test_books_are_ordered_legal_and_one_sided_at_a_limit(market: ModelMarket) -> None:
    moment = datetime(2026, 11, 18, 10, 31, 20, tzinfo=calendar.SEOUL)
    for stock in some(market.stocks(DAY), 200):
        book, quote = market.book(stock.code, moment), market.quote(stock.code, moment)
        if book is None or quote is None:
            continue
        asks, bids = [p for p, _ in book.asks], [p for p, _ in book.bids]
        assert asks == sorted(set(asks))
        assert bids == sorted(set(bids), reverse=True)
        if asks and bids:
            assert asks[0] > bids[0]
        assert all(quote.lower <= price <= quote.upper for price in asks + bids)
        assert book.total_ask >= sum(count for _, count in book.asks)
        if quote.price == quote.upper:
            assert not asks
        ticks = grid_of(stock, DAY)
        assert all(ticks.nearest(price) == price for price in asks + bids)


@pytest.mark.parametrize("hour", [7, 15, 20, 23])
def test_outside_the_sessions_there_is_no_book(market: ModelMarket, hour: int) -> None:
    assert market.book("005930", datetime(2026, 11, 18, hour, 45, tzinfo=calendar.SEOUL)) is None


def test_an_auction_shows_three_levels_and_an_expected_price(market: ModelMarket) -> None:
    for hour, minute in ((8, 45), (15, 25)):
        book = market.book("005930", datetime(2026, 11, 18, hour, minute, tzinfo=calendar.SEOUL))
        assert book is not None
        assert len(book.asks) <= 3
        assert book.expected_price > 0


def test_nothing_is_known_of_the_future(moving: Callable[[datetime], ModelMarket]) -> None:
    market = moving(datetime(2026, 11, 18, 10, 0, 30, tzinfo=calendar.SEOUL))
    assert market.bars("005930", DAY, date(2027, 1, 1))[-1].day == DAY
    assert market.minutes("005930", DAY)[-1].started_at.hour == 10
    assert market.minutes("005930", date(2026, 11, 20)) == []
    early = moving(datetime(2026, 11, 18, 8, 0, tzinfo=calendar.SEOUL))
    assert early.bars("005930", DAY, date(2027, 1, 1)) == []


@pytest.fixture
def moving() -> Callable[[datetime], ModelMarket]:
    return lambda moment: ModelMarket(0, lambda: moment)


def test_etp_prices_have_their_own_ticks(market: ModelMarket) -> None:
    fund = next(stock for stock in market.stocks(DAY) if stock.group in ETP_GROUPS)
    assert grid_of(fund, DAY).tick(150_000) == 5


@pytest.mark.parametrize(("speed", "later"), [(0, 0), (1, 90), (60, 5400)])
def test_a_simulated_market_goes_on_as_fast_as_asked(
    monkeypatch: pytest.MonkeyPatch, speed: float, later: int
) -> None:
    """From the moment given, by a clock that does not jump."""
    clock, opened = [1000.0], list[Simulator]()
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(command, "create_app", opened.append)
    monkeypatch.setattr(command.uvicorn.Server, "run", lambda *_, **__: None)
    at = datetime(2026, 3, 17, 10, 0, tzinfo=calendar.SEOUL)
    command.start(None, at, port=0, virtual=False, rate_limit=None, seed=0, speed=speed)
    (simulator,) = opened
    assert simulator.market.now() == at
    clock[0] += 90
    assert simulator.market.now() == at + timedelta(seconds=later)

"""Every trade of the simulated market is streamed once, and they are what the REST answers show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from kis_assets.simulator.market.market import ETP_GROUPS
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.market.trades import Trade
from kis_assets.simulator.wire.charts import inquire_daily_itemchartprice
from kis_assets.simulator.wire.minutes import inquire_time_dailychartprice
from kis_assets.simulator.wire.quotes import inquire_price
from kis_assets_tests.simulator.test_simulator_feed import Desk
from kis_assets_tests.support.market_clock import BUSY, FRIDAY, MONDAY, Clock, moment, shares

Streamed = tuple[str, int, int, int, int]


def streamed(row: list[str]) -> Streamed:
    """Hour, price, quantity, and the day's volume and value with it."""
    return row[1], int(row[2]), int(row[12]), int(row[13]), int(row[14])


def true(trade: Trade) -> Streamed:
    return f"{trade.at:%H%M%S}", trade.price, trade.quantity, trade.volume, trade.value


def followed(desk: Desk, first: datetime, last: datetime, seconds: int) -> Iterator[list[str]]:
    """The records that come while the feed is looked at so often."""
    at = first
    while at <= last:
        yield from desk.rows(at.date(), at.hour, at.minute, at.second)
        at += timedelta(seconds=seconds)


def a_stock(market: ModelMarket, kind: str) -> str:
    if kind == "busy":
        return BUSY
    if kind == "a fund":
        funds = (it.code for it in market.stocks(FRIDAY) if it.group in ETP_GROUPS)
        return next(code for code in funds if market.trades(code, FRIDAY))
    traded = ((it.code, bar) for it, bar in shares(market, FRIDAY) if bar.volume > 100)
    if kind == "thin":
        return next(code for code, bar in traded if bar.after and bar.volume < 10_000)
    return next(code for code, bar in traded if not bar.after)


@pytest.mark.parametrize("kind", ["busy", "thin", "without an after-market", "a fund"])
def test_the_trades_of_a_day_add_up_to_its_minutes_and_to_its_candle(kind: str) -> None:
    """Pages of minutes, the price answer and the daily candle are asked for on the evening."""
    clock = Clock()
    code = a_stock(clock(FRIDAY, 21), kind)
    clock(FRIDAY, 8)
    desk = Desk(clock)
    desk.hear("H0STCNT0", code)
    rows = list(followed(desk, moment(FRIDAY, 8, 30), moment(FRIDAY, 20, 30), 36))
    found = [streamed(row) for row in rows]
    assert found == [true(trade) for trade in clock.market.trades(code, FRIDAY)]

    by_minute: dict[str, list[Streamed]] = defaultdict(list)
    for trade in found:
        by_minute[trade[0][:4] + "00"].append(trade)
    minutes: dict[str, dict[str, str]] = {}
    upto = "200000"
    while page := [
        row
        for row in clock.rows(
            inquire_time_dailychartprice, FID_INPUT_ISCD=code, FID_INPUT_DATE_1="20261113",
            FID_INPUT_HOUR_1=upto,
        )
        if row["stck_bsop_date"] == "20261113" and row["stck_cntg_hour"] not in minutes
    ]:  # fmt: skip
        minutes |= {row["stck_cntg_hour"]: row for row in page}
        upto = page[-1]["stck_cntg_hour"]
    for hour, row in minutes.items():
        prices = [price for _, price, *_ in by_minute[hour]]
        assert [prices[0], max(prices), min(prices), prices[-1]] == [
            int(row[f"stck_{name}"]) for name in ("oprc", "hgpr", "lwpr", "prpr")
        ]
        assert sum(trade[2] for trade in by_minute[hour]) == int(row["cntg_vol"])
        assert by_minute[hour][-1][4] == int(row["acml_tr_pbmn"])
    # What is in no minute was traded at the closing price.
    assert {hour[:3] for hour in by_minute.keys() - minutes.keys()} <= {"154", "155"}

    assert all(after[3] == before[3] + after[2] for before, after in pairwise(found))
    assert all(before[4] <= after[4] for before, after in pairwise(found))
    _, close, _, volume, value = found[-1]
    assert found[0][3] == found[0][2]
    for answer in (
        clock.ask(inquire_price, FID_INPUT_ISCD=code),
        clock.rows(inquire_daily_itemchartprice, FID_INPUT_ISCD=code)[0],
    ):
        assert (int(answer["acml_vol"]), int(answer["acml_tr_pbmn"])) == (volume, value)
        last = answer.get("stck_clpr") or answer["stck_prpr"]
        assert (int(last), *map(int, rows[-1][7:10])) == (
            close, int(answer["stck_oprc"]), int(answer["stck_hgpr"]), int(answer["stck_lwpr"]),
        )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_no_trade_is_left_out_or_doubled_however_often_the_feed_is_looked_at(seed: int) -> None:
    clock, chance = Clock(), Random(seed)
    clock(FRIDAY, 8)
    desk = Desk(clock)
    desk.hear("H0STCNT0")
    found: list[list[str]] = []
    at = moment(FRIDAY, 8, 30)
    while at < moment(FRIDAY, 20, 10):
        found += desk.rows(at.date(), at.hour, at.minute, at.second)
        at += timedelta(seconds=chance.choice((0, 1, 7, 12, 60, 333)))
    assert [streamed(row) for row in found] == [
        true(trade) for trade in clock.market.trades(BUSY, FRIDAY)
    ]


def test_a_stock_that_is_registered_later_begins_with_the_next_trade() -> None:
    clock = Clock()
    clock(FRIDAY, 9)
    desk = Desk(clock)
    desk.hear("H0STCNT0")
    found = list(followed(desk, moment(FRIDAY, 9), moment(FRIDAY, 9, 59), 12))
    clock(FRIDAY, 10, 0, 15)
    desk.hear("H0STCNT0", "000660")
    found += followed(desk, moment(FRIDAY, 10, 0, 30), moment(FRIDAY, 10, 30), 12)
    clock(FRIDAY, 10, 29, 54)
    for code, since in ((BUSY, moment(FRIDAY, 9)), ("000660", moment(FRIDAY, 10, 0, 15))):
        assert [streamed(row) for row in found if row[0] == code] == [
            true(trade) for trade in clock.market.trades(code, FRIDAY) if trade.at > since
        ]


def test_the_running_volume_is_what_the_price_answer_shows() -> None:
    """Whenever a minute ends: the price answer has a minute's trades from when it begins."""
    clock = Clock()
    clock(FRIDAY, 8)
    desk = Desk(clock)
    desk.hear("H0STCNT0")
    volume = "0"
    for hour, minute in (
        (9, 0),
        (11, 17),
        (15, 19),
        (15, 30),
        (15, 47),
        (15, 59),
        (16, 0),
        (19, 59),
    ):
        rows = desk.rows(FRIDAY, hour, minute, 59)
        volume = rows[-1][13] if rows else volume
        assert clock.ask(inquire_price)["acml_vol"] == volume


def test_who_came_to_the_others_price_is_counted() -> None:
    clock = Clock()
    clock(FRIDAY, 8)
    desk = Desk(clock)
    desk.hear("H0STCNT0")
    rows = desk.rows(FRIDAY, 20)
    count, shares_of = defaultdict[str, int](int), defaultdict[str, int](int)
    for row in rows:
        side = row[21]
        count[side] += 1
        shares_of[side] += int(row[12])
        assert row[15:18] == [str(count["5"]), str(count["1"]), str(count["1"] - count["5"])]
        assert row[19:21] == [str(shares_of["5"]), str(shares_of["1"])]
    assert float(rows[-1][18]) == pytest.approx(100 * shares_of["1"] / shares_of["5"], abs=0.006)
    auctions = {row[1] for row in rows if row[21] == "3"}
    assert {"090000", "153000", "154000"} <= auctions
    assert all(hour in ("090000", "153000") or "154000" <= hour < "160000" for hour in auctions)


def test_before_the_after_market_a_day_is_its_minutes() -> None:
    """What was traded off hours came on feeds of its own."""
    day = date(2026, 9, 11)
    clock = Clock()
    market = clock(day, 20)
    trades, minutes = market.trades(BUSY, day), market.minutes(BUSY, day)
    assert trades[-1].at == moment(day, 15, 30)
    assert (trades[-1].volume, trades[-1].value) == (
        sum(minute.volume for minute in minutes), sum(it.trading_value for it in minutes),
    )  # fmt: skip


def test_the_truth_ends_where_the_clock_stands() -> None:
    clock = Clock()
    whole = clock(MONDAY, 9).trades(BUSY, FRIDAY)
    early = clock(FRIDAY, 11, 0, 15).trades(BUSY, FRIDAY)
    assert early == [trade for trade in whole if trade.at <= moment(FRIDAY, 11, 0, 15)]
    assert clock(FRIDAY, 8, 59).trades(BUSY, FRIDAY) == []
    assert clock.market.trades("999999", FRIDAY) == []


def test_every_minute_of_every_stock_can_have_been_traded() -> None:
    """With so few shares a minute has no high that is neither its open nor its close."""
    clock = Clock()
    market = clock(FRIDAY, 23)
    for stock in market.stocks(FRIDAY)[::80]:
        trades = market.trades(stock.code, FRIDAY)
        assert all(trade.quantity > 0 for trade in trades)
        of_minute: dict[datetime, list[Trade]] = defaultdict(list)
        for trade in trades:
            of_minute[trade.at.replace(second=0)].append(trade)
        value = 0
        for minute in market.minutes(stock.code, FRIDAY):
            value += minute.value_before + minute.trading_value
            found = of_minute[minute.started_at]
            prices = [trade.price for trade in found]
            assert (prices[0], max(prices), min(prices), prices[-1]) == (
                minute.open, minute.high, minute.low, minute.close,
            )  # fmt: skip
            assert sum(trade.quantity for trade in found) == minute.volume
            # Price times quantity comes close; the running value is exact.
            near = sum(trade.price * trade.quantity for trade in found)
            assert near == pytest.approx(minute.trading_value, rel=0.1)
            assert found[-1].value == value

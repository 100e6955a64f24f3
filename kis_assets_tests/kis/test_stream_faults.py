"""A stream through the faults of its server, and every trade of the market at high speed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

import pytest

from kis_assets.kis.stream_records import Trade
from kis_assets.settings import Settings
from kis_assets.simulator.server.faults import When
from kis_assets_tests.kis.test_stream import MORNING, Hall, a_hall


@pytest.fixture
def hall(settings: Settings) -> Iterator[Hall]:
    with a_hall(settings) as opened:
        yield opened


def moving(hall: Hall, speed: float) -> None:
    """Let the market go on, so many times as fast as the clock on the wall."""
    began = time.monotonic()
    hall.market.model._clock = lambda: (
        MORNING + timedelta(seconds=(time.monotonic() - began) * speed)
    )


def key(trade: Trade) -> tuple[object, ...]:
    return trade.stock_code, trade.traded_at, trade.price, trade.quantity, trade.volume


@pytest.mark.parametrize("speed", [60, 1_200])
def test_every_trade_of_the_truth_comes_once_in_order_at_any_speed(
    hall: Hall, speed: float
) -> None:
    """From the first one that comes on, through a connection, in looks far apart."""
    codes = ["005930", "000660", "000270"]
    last = MORNING + timedelta(seconds=speed)
    found: dict[str, list[Trade]] = {code: [] for code in codes}
    with hall.stream(codes) as stream:
        moving(hall, speed)
        for record in stream:
            assert isinstance(record, Trade)
            found[record.stock_code].append(record)
            if all(trades and trades[-1].traded_at > last for trades in found.values()):
                break
    for code, trades in found.items():
        truth = [
            (code, it.at, it.price, it.quantity, it.volume)
            for it in hall.market.model.trades(code, MORNING.date())
            if trades[0].traded_at <= it.at <= trades[-1].traded_at
        ]
        assert [key(trade) for trade in trades] == truth


def test_half_a_frame_is_left_out_and_shows_in_the_running_volume(hall: Hall) -> None:
    with hall.stream() as stream:
        records = hall.moving(stream)
        before = next(records)
        hall.simulator.faults.stream_half_frame = When(calls=1)
        after = next(records)
    assert isinstance(before, Trade)
    assert isinstance(after, Trade)
    assert (stream.discarded, stream.reconnects) == (1, 0)
    assert after.volume - after.quantity > before.volume


def test_a_stock_that_nobody_asked_for_is_left_out(hall: Hall) -> None:
    hall.simulator.faults.stream_stranger = When(calls=2)
    with hall.stream() as stream:
        found = list(islice(hall.moving(stream), 6))
    assert {record.stock_code for record in found} == {"005930"}
    assert stream.unasked >= 2


def test_after_a_break_the_last_records_may_come_again(hall: Hall) -> None:
    """To be known by the running volume, which no two trades of a stock share."""
    hall.simulator.faults.stream_repeat = True
    with hall.stream() as stream:
        records = hall.moving(stream)
        found = list(islice(records, 3))
        hall.simulator.faults.stream_drop = When(calls=1)
        found += islice(records, 3)
    assert stream.reconnects == 1
    trades = [record for record in found if isinstance(record, Trade)]
    counted = Counter(key(trade) for trade in trades)
    assert counted.most_common(1)[0][1] == 2
    assert len({trade.volume for trade in trades}) == len(counted)


def test_a_silence_ends_the_session_and_another_one_goes_on(hall: Hall) -> None:
    with hall.stream(silence=0.3) as stream:
        records = hall.moving(stream)
        next(records)
        hall.simulator.faults.stream_silence = When(calls=1, seconds=3_600)
        assert next(records).stock_code == "005930"
    assert stream.reconnects == 1

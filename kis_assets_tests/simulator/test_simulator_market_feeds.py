"""The simulated feeds beside trades and books: they say what the REST answers say then."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire.flows import program_trade_by_stock_daily
from kis_assets.simulator.wire.indices import inquire_daily_indexchartprice
from kis_assets.simulator.wire.quotes import inquire_price
from kis_assets_tests.simulator.test_simulator_feed import Desk
from kis_assets_tests.support.market_clock import BUSY, FRIDAY, Clock, shares

PHASES = [
    ("110", "311"), ("112", "112"), ("121", "121"), ("129", "129"), ("140", ""), ("149", ""),
]  # fmt: skip


def opened(*hour: int, day: date = FRIDAY) -> Desk:
    clock = Clock()
    clock(day, *hour)
    return Desk(clock)


@pytest.mark.parametrize("feed", ["H0STMKO0", "H0NXMKO0", "H0UNMKO0"])
def test_a_phase_is_told_when_it_begins_and_never_again(feed: str) -> None:
    desk = opened(7)
    desk.hear(feed)
    assert desk.rows(FRIDAY, 8, 29, 59) == []
    rows = desk.rows(FRIDAY, 8, 30)
    for hour in ((8, 45), (9, 0), (12, 0), (15, 20), (15, 30), (15, 40), (16, 0), (19, 0)):
        rows += desk.rows(FRIDAY, *hour)
    assert [(row[3], row[4]) for row in rows] == PHASES
    assert {len(row) for row in rows} == {11}
    assert {tuple(row[:3]) for row in rows} == {(BUSY, "N", "(null)")}
    assert {row[10] for row in rows} == {"2" if feed == "H0NXMKO0" else "1"}


def test_the_state_of_a_halted_stock_says_so() -> None:
    desk = opened(7)
    halted = next(it.code for it in desk.clock.market.stocks(FRIDAY) if it.is_halted)
    desk.hear("H0STMKO0", halted)
    (row,) = desk.rows(FRIDAY, 8, 30)
    assert (row[1], row[2]) == ("Y", "거래정지")
    assert row[7] == desk.clock.ask(inquire_price, FID_INPUT_ISCD=halted)["iscd_stat_cls_code"]


def test_programme_trades_are_those_of_the_rest_answer() -> None:
    desk = opened(8)
    desk.hear("H0STPGM0")
    assert desk.rows(FRIDAY, 8, 45) == []
    names = [
        f"whol_smtn_{name}"
        for name in ("seln_vol", "seln_tr_pbmn", "shnu_vol", "shnu_tr_pbmn", "ntby_qty",
                     "ntby_tr_pbmn")
    ]  # fmt: skip
    for hour in ((9, 0), (11, 30), (15, 30), (15, 50), (19, 59)):
        (row,) = desk.rows(FRIDAY, *hour)
        told = clock_row(desk)
        assert row[:2] == [BUSY, f"{hour[0]:02d}{hour[1]:02d}00"]
        assert row[2:8] == [told[name] for name in names]
        assert int(row[10]) == int(row[9]) - int(row[8])
        # Nothing is said twice.
        assert desk.rows(FRIDAY, *hour, 20) == []
    assert desk.rows(FRIDAY, 20, 30) == []


def test_running_totals_of_programmes_never_fall() -> None:
    """Of a stock whose price falls: what was bought so far is not worth less for that."""
    desk = opened(8)
    stock = next(
        stock for stock, bar in shares(desk.clock.market, FRIDAY)
        if 1_000 < bar.volume < 20_000 and bar.change_rate < -200
    )  # fmt: skip
    desk.hear("H0STPGM0", stock.code)
    rows = [
        [int(word) for word in (*row[2:6], *row[8:10])]
        for minute in range(9 * 60, 16 * 60)
        for row in desk.rows(FRIDAY, minute // 60, minute % 60)
    ]
    assert len(rows) > 30
    for before, after in pairwise(rows):
        assert all(earlier <= later for earlier, later in zip(before, after, strict=True))


@pytest.mark.parametrize(("feed", "code"), [("H0STPGM0", BUSY), ("H0UPCNT0", "0001")])
def test_what_is_registered_again_is_told_again(feed: str, code: str) -> None:
    desk = opened(10)
    desk.hear(feed, code)
    (first,) = desk.rows(FRIDAY, 10)
    assert desk.hear(feed, code, "2") == "OPSP0001"
    assert desk.hear(feed, code) == "OPSP0000"
    (again,) = desk.rows(FRIDAY, 10)
    assert again == first


def clock_row(desk: Desk) -> dict[str, str]:
    return desk.clock.rows(
        program_trade_by_stock_daily, "output", FID_INPUT_DATE_1=f"{FRIDAY:%Y%m%d}"
    )[0]


@pytest.mark.parametrize("code", ["0001", "1001", "2001"])
def test_an_index_is_that_of_the_rest_answer(code: str) -> None:
    desk = opened(8)
    desk.hear("H0UPCNT0", code)
    assert desk.rows(FRIDAY, 8, 59) == []
    before: list[str] | None = None
    for hour in ((9, 0), (11, 30), (15, 30)):
        (row,) = desk.rows(FRIDAY, *hour)
        told = desk.clock.ask(
            inquire_daily_indexchartprice, "output1", FID_COND_MRKT_DIV_CODE="U",
            FID_INPUT_ISCD=code,
        )  # fmt: skip
        assert len(row) == 30
        assert row[:2] == [code, f"{hour[0]:02d}{hour[1]:02d}00"]
        assert row[2:5] == [told[name] for name in (
            "bstp_nmix_prpr", "prdy_vrss_sign", "bstp_nmix_prdy_vrss",
        )]  # fmt: skip
        assert row[5:7] == [told["acml_vol"], told["acml_tr_pbmn"]]
        assert row[9:13] == [told[f"bstp_nmix_{name}"] for name in (
            "prdy_ctrt", "oprc", "hgpr", "lwpr",
        )]  # fmt: skip
        assert float(row[13]) == pytest.approx(float(row[2]) - float(row[10]))
        assert int(row[7]) == (int(row[5]) - int(before[5]) if before else 0)
        assert sum(int(count) for count in row[22:27]) == 30
        assert desk.rows(FRIDAY, *hour, 20) == []
        before = row
    # It stands still in the after-market.
    assert desk.rows(FRIDAY, 17) == []


def test_there_is_nothing_of_an_index_that_does_not_exist() -> None:
    desk = opened(10)
    assert desk.hear("H0UPCNT0", "9999") == "OPSP0000"
    assert desk.rows(FRIDAY, 10, 5) == []


@pytest.mark.parametrize("feed", ["H0STMKO0", "H0STPGM0", "H0UPCNT0", "H0UNPGM0", "H0NXMKO0"])
def test_the_virtual_server_has_none_of_them(feed: str) -> None:
    desk = opened(10)
    desk.server = Simulator(desk.clock.market, environment="virtual")
    desk.server.tokens.approval_window = 0.0
    desk.session = desk.server.realtime.open()
    assert desk.hear(feed) == "OPSP8991"

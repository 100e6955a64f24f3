"""What frames of market state, programme trades and indices say, and more of a trade."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kis_assets.errors import InvalidRequest, NotSupported, UnexpectedAnswer
from kis_assets.exchange.venues import Venue
from kis_assets.kis.stream_records import (
    TR_IDS,
    IndexTick,
    Kind,
    MarketState,
    ProgramTick,
    RealTime,
    code_of,
)
from kis_assets.kis.stream_registrations import registrations
from kis_assets.settings import Settings
from kis_assets_tests.kis.test_stream import BOOK, MORNING, NOW, TRADE, a_hall, frame, read

# Bodies as the protocol notes have them, or written by hand from its lists of fields.
STATE = "900110^N^(null)^112^112^^^55^Y^N^1"
PROGRAM = "900110^103015^84210^5954880000^96540^6830120000^12330^875240000^15300^11200^-4100"
INDEX = (
    "0001^103015^4028.95^2^16.85^412345^11203344^37^1024^0.42^4015.22^4033.10^4008.87^13.73^2^-4.15"
    "^5^20.08^2^0.08^0.52^-0.08^3^512^71^344^1^0^0^0.12"
)
AT = NOW.replace(microsecond=0)


def only(tr_id: str, row: str) -> Any:
    (record,) = read(frame(tr_id, row))
    return record


def changed(row: str, **places: str) -> str:
    """The body with other words at some places, such as `v3`."""
    values = row.split("^")
    for place, word in places.items():
        values[int(place[1:])] = word
    return "^".join(values)


# Market state.


def test_a_market_state_is_read_in_words() -> None:
    assert only("H0STMKO0", STATE) == MarketState(
        stock_code="900110", is_halted=False, halt_reason=None, phase="open", phase_code="112",
        expected_phase="before_open_ended", random_end=None, status="credit_eligible",
        is_in_vi=True, is_in_off_hours_vi=False, exchange="KRX", received_at=NOW,
    )  # fmt: skip


def test_a_halt_says_why() -> None:
    halted = only("H0STMKO0", changed(STATE, v1="Y", v2="주권매매 거래정지", v3="164", v7="58"))
    assert (halted.is_halted, halted.halt_reason) == (True, "주권매매 거래정지")
    assert (halted.phase, halted.status) == ("stopped", "halted")


@pytest.mark.parametrize("more", ["", "^1", "^2^new"])
def test_a_state_has_ten_values_or_more(more: str) -> None:
    """The exchange was appended later: the portal's own sample has ten."""
    ten = STATE.rsplit("^", 1)[0]
    first, second = read(frame("H0UNMKO0", ten + more, ten + more))
    assert first == second
    assert isinstance(first, MarketState)
    assert first.exchange == {"": None, "^1": "KRX", "^2^new": "NXT"}[more]
    with pytest.raises(UnexpectedAnswer):
        read(frame("H0STMKO0", ten.rsplit("^", 1)[0]))


@pytest.mark.parametrize("word", ["", " ", "(null)", "F07", "160", "X" * 50, "49^"])
def test_what_a_code_means_that_is_not_known_is_none(word: str) -> None:
    places = {f"v{place}": word.strip("^") for place in range(1, 11)}
    state = only("H0STMKO0", changed(STATE, **places))
    values = state.row()
    assert values.pop("stock_code") == "900110"
    assert values.pop("phase_code") == (word.strip("^ ") or None)
    assert values.pop("halt_reason") in (word.strip("^"), None)
    del values["kind"], values["received_at"]
    assert set(values.values()) == {None}


@pytest.mark.parametrize(
    ("code", "phase"),
    [
        ("110", "opening_auction"), ("121", "closing_auction"), ("129", "closed"),
        ("140", "closing_price"), ("174", "circuit_breaker"), ("175", "circuit_breaker_ended"),
        ("387", "sell_sidecar"), ("398", "buy_sidecar_ended"), ("P03", None),
    ],
)  # fmt: skip
def test_a_phase_has_a_name_and_its_code(code: str, phase: str | None) -> None:
    state = only("H0NXMKO0", changed(STATE, v3=code))
    assert (state.phase, state.phase_code) == (phase, code)


# Programme trades.


def test_programme_trades_are_shares_and_krw() -> None:
    """The last field is called net bought and is what waits: it is made of the two before."""
    assert only("H0STPGM0", PROGRAM) == ProgramTick(
        stock_code="900110", traded_at=AT, buy_volume=96_540, sell_volume=84_210,
        net_volume=12_330, buy_value=6_830_120_000, sell_value=5_954_880_000,
        net_value=875_240_000, open_buy_volume=11_200, open_sell_volume=15_300, received_at=NOW,
    )  # fmt: skip


def test_more_sold_than_bought_is_negative() -> None:
    sold = only("H0UNPGM0", changed(PROGRAM, v6="-12330", v7="-875240000", v8=""))
    assert (sold.net_volume, sold.net_value, sold.open_sell_volume) == (-12_330, -875_240_000, None)


@pytest.mark.parametrize("places", [{"v2": ""}, {"v3": "-1"}, {"v5": "x"}, {"v1": "259999"}])
def test_programme_trades_that_cannot_be_are_not_believed(places: dict[str, str]) -> None:
    with pytest.raises(UnexpectedAnswer):
        only("H0STPGM0", changed(PROGRAM, **places))


# Indices.


def test_an_index_is_points_and_whole_shares_and_krw() -> None:
    assert only("H0UPCNT0", INDEX) == IndexTick(
        index_code="0001", calculated_at=AT, level=4028.95, change=16.85, change_rate=0.42,
        open=4015.22, high=4033.1, low=4008.87, volume=412_345_000,
        trading_value=11_203_344_000_000, tick_volume=37_000, tick_value=1_024_000_000,
        at_upper_limit=3, rising=512, unchanged=71, falling=344, at_lower_limit=1, received_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("sign", ["4", "5"])
def test_a_falling_index_is_negative_with_its_minus_or_without(sign: str) -> None:
    for change, rate in (("16.85", "0.42"), ("-16.85", "-0.42")):
        tick = only("H0UPCNT0", changed(INDEX, v3=sign, v4=change, v9=rate))
        assert (tick.change, tick.change_rate) == (-16.85, -0.42)


def test_fields_behind_those_that_are_read_change_nothing() -> None:
    for row, tr_id in ((STATE, "H0STMKO0"), (PROGRAM, "H0NXPGM0"), (INDEX, "H0UPCNT0")):
        assert read(frame(tr_id, row + "^7^", row + "^7^")) == [only(tr_id, row)] * 2


@pytest.mark.parametrize(
    "places", [{"v2": "nan"}, {"v5": str(10**15)}, {"v6": str(10**12)}, {"v6": "-1"}, {"v0": ""}]
)
def test_an_index_that_cannot_be_is_not_believed(places: dict[str, str]) -> None:
    """Its value is larger than any, once it is counted in KRW."""
    with pytest.raises(UnexpectedAnswer):
        only("H0UPCNT0", changed(INDEX, **places))


# More of a trade.


def test_a_trade_says_who_came_to_whose_price_so_far_and_what_waits() -> None:
    trade = only("H0STCNT0", TRADE)
    assert (trade.buy_count, trade.sell_count) == (4_015, 3_120)
    assert (trade.buy_volume, trade.sell_volume) == (652_010, 580_120)
    assert trade.strength == 112.40 == pytest.approx(100 * 652_010 / 580_120, abs=0.01)
    assert trade.average_price == 70_950.25
    assert (trade.best_ask_volume, trade.best_bid_volume) == (1_520, 980)
    assert (trade.total_ask_volume, trade.total_bid_volume) == (49_770, 51_893)
    assert (trade.hour_class, trade.phase_code) == ("in_session", "20")


@pytest.mark.parametrize(
    ("code", "hour_class"),
    [("A", "after_close"), ("B", "before_open"), ("C", "auction"), ("D", "single_price"),
     ("", None), ("Z", None)],
)  # fmt: skip
def test_an_hour_class_that_is_not_known_is_none(code: str, hour_class: str | None) -> None:
    assert only("H0STCNT0", changed(TRADE, v43=code)).hour_class == hour_class


def test_what_kis_leaves_out_of_a_trade_is_none() -> None:
    """Blank, or behind the last value that there is; a price of 0 is no quote."""
    blank = only("H0STCNT0", changed(TRADE, **{f"v{n}": "" for n in (6, 15, 16, 18, 19, 20, 34)}))
    assert {
        blank.average_price, blank.sell_count, blank.buy_count, blank.strength, blank.sell_volume,
        blank.buy_volume, blank.phase_code,
    } == {None}  # fmt: skip
    short = only("H0STCNT0", "^".join(TRADE.split("^")[:36]))
    assert (short.price, short.volume, short.buy_volume) == (71_200, 1_234_567, 652_010)
    assert (short.best_ask_volume, short.total_bid_volume, short.hour_class) == (None, None, None)
    unasked = only("H0STCNT0", changed(TRADE, v10="0", v36="0"))
    assert (unasked.best_ask, unasked.best_ask_volume, unasked.best_bid_volume) == (None, None, 980)


def test_a_number_with_blanks_around_it_is_a_number() -> None:
    assert only("H0STCNT0", changed(TRADE, v0=" 900110 ", v12=" 15 ")).quantity == 15
    assert only("H0STASP0", changed(BOOK, v3=" 71200 ", v47=" ")).asks[0].price == 71_200


# What is asked for.


def test_every_kind_has_a_feed_on_every_venue() -> None:
    kinds = {kind for kind, _ in TR_IDS}
    assert set(TR_IDS) == {(kind, venue) for kind in kinds for venue in Venue}


@pytest.mark.parametrize(
    ("venue", "feeds"),
    [
        (Venue.KRX, ["H0STMKO0", "H0STPGM0", "H0UPCNT0"]),
        (Venue.NXT, ["H0NXMKO0", "H0NXPGM0", "H0UPCNT0"]),
        (Venue.UNIFIED, ["H0UNMKO0", "H0UNPGM0", "H0UPCNT0"]),
    ],
)
def test_each_code_is_registered_for_the_kinds_that_it_can_have(
    settings: Settings, venue: Venue, feeds: list[str]
) -> None:
    there = settings.model_copy(update={"kis_venue": venue})
    kinds: tuple[Kind, ...] = ("state", "program", "index")
    wanted = registrations(there, ("005930", "0001"), kinds)
    assert wanted == list(zip(feeds, ["005930", "005930", "0001"], strict=True))


@pytest.mark.parametrize(
    ("codes", "kinds", "sentence"),
    [
        (("005930",), ("index",), "'005930' is no index code"),
        (("0001",), ("trade",), "'0001' is no stock code"),
        (("005930",), ("trade", "index"), "no code is given for the kind index"),
        (("0001",), ("trade", "index"), "no code is given for the kind trade"),
        (("005930",), ("quote",), "'quote' is no kind of record: trade, book, state, program"),
    ],
)
def test_a_code_that_is_none_of_a_kind_is_refused(
    settings: Settings, codes: tuple[str, ...], kinds: Any, sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        registrations(settings, codes, kinds)


@pytest.mark.parametrize("kind", ["state", "program", "index"])
def test_the_virtual_server_is_not_asked_for_what_it_lacks(settings: Settings, kind: Any) -> None:
    virtual = settings.model_copy(update={"kis_use_virtual_server": True})
    code = "0001" if kind == "index" else "005930"
    with pytest.raises(NotSupported, match=f"only trades and books, not {kind}"):
        registrations(virtual, (code,), (kind,))


def test_all_kinds_come_in_one_session(settings: Settings) -> None:
    """From a minute before the closing auction, which is a change of the market's state."""
    with a_hall(settings) as hall:
        hall.market.at = MORNING.replace(hour=15, minute=19)
        kinds: tuple[Kind, ...] = ("trade", "book", "state", "program", "index")
        seen: dict[type, RealTime] = {}
        with hall.stream(["005930", "0001"], kinds) as stream:
            for record in hall.moving(stream):
                seen[type(record)] = record
                if len(seen) == len(kinds):
                    break
    assert {code_of(record) for record in seen.values()} == {"005930", "0001"}
    assert (stream.discarded, stream.unasked) == (0, 0)
    assert all(isinstance(record.row()["kind"], str) for record in seen.values())
    state = seen[MarketState]
    assert isinstance(state, MarketState)
    assert state.phase == "closing_auction"


def test_an_index_needs_nothing_of_nxt(settings: Settings) -> None:
    with a_hall(settings) as hall:
        hall.settings = hall.settings.model_copy(
            update={"kis_venue": Venue.NXT, "kis_master_base_url": "http://127.0.0.1:1"}
        )
        with hall.stream(["0001"], ("index",)) as stream:
            assert isinstance(next(hall.moving(stream)), IndexTick)


# How long it takes.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tr_id", "row", "most"),
    [("H0STCNT0", f"{TRADE}^2", 60e-6), ("H0STASP0", f"{BOOK}^71150^0^1^2", 120e-6)],
)
def test_a_record_is_read_in_time_for_five_thousand_in_a_second(
    tr_id: str, row: str, most: float
) -> None:
    """The best of ten, for a machine that has other things to do."""
    text = frame(tr_id, *[row] * 10)

    def taken() -> float:
        began = time.perf_counter()
        for _ in range(50):
            assert len(read(text)) == 10
        return (time.perf_counter() - began) / 500

    assert min(taken() for _ in range(10)) < most

"""KRX as a source: whole markets by day, judged before they are believed, and asked for once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from kis_assets.errors import (
    AuthenticationFailed,
    InvalidRequest,
    KISError,
    NotSupported,
    RateLimited,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from kis_assets.exchange import calendar
from kis_assets.exchange.venues import Venue
from kis_assets.krx import client, publication
from kis_assets.settings import Settings, SettingsError
from kis_assets.simulator.market.market import Stock
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport, serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.factory import create_data_source
from kis_assets.sources.krx import KRXDataSource
from kis_assets.sources.record_types import PriceType
from kis_assets.tables import DAILY_CANDLES, KRX_DAILY, STOCK_INFO, STOCK_MASTER
from kis_assets_tests.conftest import open_source

KEY = "KRXTESTKEY" * 4
DAY = date(2026, 3, 16)
MORNING = datetime(2026, 3, 17, 9, 30, tzinfo=calendar.SEOUL)
"""DAY is the newest that KRX has published."""
YOUNGEST = date(2026, 2, 24)
"""A day on which stocks of the invented market were listed."""
DELISTED = "402420"
"""A stock of the invented market that was last listed on 2026-02-25."""


class FewStocks(ModelMarket):
    """The invented market with one of forty issues: whole markets are quick then."""

    def stocks(self, day: date) -> Sequence[Stock]:
        known = ("005930", "000660", "005935", DELISTED)
        return [
            stock
            for stock in super().stocks(day)
            if stock.code in known or int(stock.code, 36) % 31 == 0 or stock.listed_on == YOUNGEST
        ]


@pytest.fixture(scope="module")
def market() -> ModelMarket:
    return FewStocks(seed=0, clock=lambda: MORNING)


@pytest.fixture
def server(market: ModelMarket) -> Simulator:
    return Simulator(market, rate_limit=0, token_window=0.0, krx_key=KEY)


@pytest.fixture
def krx_settings(tmp_path: Path) -> Settings:
    return Settings.load(
        data_source_type="krx",
        krx_api_key=KEY,
        krx_api_base_url="http://krx.test/svc/apis",
        kis_data_dir=tmp_path / "data",
        kis_replay_at=MORNING,
        kis_api_max_retries=1,
    )


@pytest.fixture
def source(server: Simulator, krx_settings: Settings) -> Iterator[KRXDataSource]:
    with KRXDataSource(krx_settings, transport=InProcessTransport(server)) as opened:
        yield opened


def asked(server: Simulator) -> list[str]:
    return [arrival.path.rpartition("/")[2] for arrival in server.log]


# What arrives


def test_a_whole_market_is_three_requests_and_the_rows_of_the_table(
    source: KRXDataSource, server: Simulator, market: ModelMarket
) -> None:
    rows = source.tables.whole_market(DAY)
    assert sorted(asked(server)) == ["knx_bydd_trd", "ksq_bydd_trd", "stk_bydd_trd"]
    assert rows.schema == KRX_DAILY.schema
    assert set(rows["source"]) == {"krx"}
    shares = {s.code for s in market.stocks(DAY) if s.group not in ("EF", "EN", "EW")}
    assert set(rows["stock_code"]) == shares
    assert source.tables.whole_market(DAY).equals(rows)
    assert len(server.log) == 3


def test_what_krx_says_of_a_day_is_what_kis_says_of_it(
    server: Simulator, settings: Settings, krx_settings: Settings
) -> None:
    wide = krx_settings.model_copy(update={"kis_universe": ("all",)})
    with KRXDataSource(wide, transport=InProcessTransport(server)) as source:
        codes = source.tables.whole_market(DAY)["stock_code"].to_list()
        of_krx = source.tables.daily_candles(codes, DAY, DAY).rows
    later = settings.model_copy(update={"kis_replay_at": MORNING})
    with open_source(server, later) as kis:
        of_kis = kis.tables.daily_candles(codes, DAY, DAY).rows
    same = [
        name
        for name in DAILY_CANDLES.schema
        if name not in ("ex_flag", "split_ratio", "revaluation", "source", "fetched_at")
    ]
    assert len(codes) > 60
    assert of_krx.select(same).sort("stock_code").equals(of_kis.select(same).sort("stock_code"))


def test_what_krx_does_not_state_is_null_and_not_none(source: KRXDataSource) -> None:
    row = source.tables.daily_candles(["005930"], DAY, DAY).rows.row(0, named=True)
    assert [row[name] for name in ("ex_flag", "split_ratio", "revaluation")] == [None] * 3
    assert row["base_price"] == row["close"] - row["change"]


def test_daily_candles_are_two_requests_a_day_without_konex(
    source: KRXDataSource, server: Simulator
) -> None:
    steps: list[int] = []
    fetched = source.tables.daily_candles(
        ["005930", "999999"],
        date(2026, 3, 1),
        date(2026, 3, 31),
        lambda done, *_: steps.append(done),
    )
    assert fetched.rows["trading_day"].to_list() == calendar.trading_days(date(2026, 3, 2), DAY)
    assert "no row" in fetched.absent["999999"]
    assert set(asked(server)) == {"stk_bydd_trd", "ksq_bydd_trd"}
    assert len(server.log) == 2 * fetched.rows.height
    assert steps[-1] == 2
    source.tables.daily_candles(["000660"], date(2026, 3, 1), date(2026, 3, 31))
    assert len(server.log) == 2 * fetched.rows.height


def test_a_run_whose_rows_are_stored_is_followed_by_one_that_asks_anew(
    source: KRXDataSource, server: Simulator
) -> None:
    source.tables.daily_candles(["005930"], DAY, DAY)
    source.tables.history_is_stored(DAY, DAY)
    source.tables.daily_candles(["005930"], DAY, DAY)
    assert len(server.log) == 4


def test_konex_is_asked_for_where_it_is_in_the_universe(
    server: Simulator, krx_settings: Settings
) -> None:
    wide = krx_settings.model_copy(update={"kis_universe": ("common", "konex")})
    with KRXDataSource(wide, transport=InProcessTransport(server)) as source:
        source.tables.daily_candles(["005930"], DAY, DAY)
    assert len(server.log) == 3


def test_a_chart_of_a_month_asks_once_a_day_and_that_of_another_stock_for_nothing(
    source: KRXDataSource, server: Simulator, market: ModelMarket
) -> None:
    bars = source.get_chart_data("005930", count=12)
    assert [bar.date for bar in bars] == [
        f"{day:%Y%m%d}" for day in calendar.trading_days(date(2026, 2, 1), DAY)[:-13:-1]
    ]
    raw = market.bars("005930", DAY, DAY)[0]
    assert (bars[0].open_price, bars[0].close_price) == (raw.open, raw.close)
    assert (bars[0].volume, bars[0].trading_value) == (raw.volume, raw.trading_value)
    assert len(server.log) == 12
    source.get_chart_data("000660", count=12)
    assert len(server.log) == 12


def test_weeks_are_made_of_days(source: KRXDataSource) -> None:
    days = source.get_chart_data("005930", count=20)
    weeks = source.get_chart_data("005930", PriceType.WEEKLY, 2)
    last = [bar for bar in days if "20260309" <= bar.date <= "20260313"]
    assert weeks[0].date == "20260316"
    assert weeks[1].volume == sum(bar.volume for bar in last)
    assert weeks[1].high_price == max(bar.high_price for bar in last)


def test_a_chart_ends_where_the_stock_was_not_listed(
    source: KRXDataSource, market: ModelMarket
) -> None:
    young = next(stock for stock in market.stocks(DAY) if stock.listed_on == YOUNGEST)
    bars = source.get_chart_data(young.code, count=30)
    assert len(bars) == len(calendar.trading_days(YOUNGEST, DAY))


def test_many_stocks_are_a_batch_as_with_any_source(source: KRXDataSource) -> None:
    result = source.get_chart_data_batch(["005930", "999999", "x"], count=2)
    assert list(result["success"]) == ["005930"]
    assert {type(error) for error in result["failed"].values()} == {InvalidRequest}


def test_stock_info_is_krxs_and_what_it_lacks_is_none(source: KRXDataSource) -> None:
    info = source.get_stock_info("005930")
    assert (info.stock_name, info.market, info.face_value) == ("삼성전자", "KOSPI", 500)
    assert info.listed_shares
    assert info.sector is None
    with pytest.raises(InvalidRequest, match="no stock of this code"):
        source.get_stock_info("999999")


def test_the_stock_master_is_of_any_past_day(source: KRXDataSource, market: ModelMarket) -> None:
    day = date(2026, 2, 2)
    rows = source.tables.stock_master(day)
    assert rows.schema == STOCK_MASTER.schema
    known = {s.code: s for s in market.stocks(day) if s.group not in ("EF", "EN", "EW")}
    assert set(rows["stock_code"]) == set(known)
    for row in rows.iter_rows(named=True):
        stock = known[row["stock_code"]]
        assert row["isin"] == stock.isin
        assert row["listed_on"] == stock.listed_on
        assert row["security_type"] == (
            "spac" if stock.is_spac and stock.group != "FS"
            else "preferred" if stock.preferred
            else {"FS": "foreign", "RT": "reit", "IF": "infrastructure_fund"}.get(
                stock.group, "common"
            )
        )  # fmt: skip
    info = source.tables.stock_info(rows, DAY)
    assert info.rows.schema == STOCK_INFO.schema
    assert set(info.rows["known_from"]) == {"krx"}
    assert info.rows.filter(pl.col("kind_of_share").is_null()).height == sum(
        stock.group in ("RT", "IF") for stock in known.values()
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.get_current_price("005930"),
        lambda source: source.get_order_book("005930"),
        lambda source: source.get_chart_data("005930", PriceType.MINUTE_1),
        lambda source: source.get_chart_data("005930", PriceType.MINUTE_30),
        lambda source: source.get_chart_data("005930", venue=Venue.NXT),
        lambda source: source.tables.price_snapshots(STOCK_MASTER.empty(), DAY, MORNING),
        lambda source: source.tables.order_books(STOCK_MASTER.empty(), DAY, MORNING),
        lambda source: source.tables.minute_candles(["005930"], DAY),
        lambda source: source.tables.market_days(DAY, DAY),
        lambda source: source.tables.corporate_actions(DAY),
    ],
)
def test_what_krx_does_not_have_is_one_sentence_and_no_request(
    source: KRXDataSource, server: Simulator, ask: Callable[[KRXDataSource], Any]
) -> None:
    with pytest.raises(NotSupported) as caught:
        ask(source)
    assert "\n" not in str(caught.value)
    assert server.log == []


# Which days


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 3, 17), "has not published 2026-03-17 yet.*2026-03-18 at 08:00"),
        (date(2026, 3, 15), "not a trading day"),
        (date(2010, 1, 3), "from 2010-01-04 on"),
        (date(2030, 1, 4), "has not published"),
    ],
)
def test_a_day_that_cannot_be_had_is_refused_before_a_request(
    source: KRXDataSource, server: Simulator, day: date, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        source.tables.whole_market(day)
    assert server.log == []


def test_days_before_krxs_history_are_no_candles(source: KRXDataSource, server: Simulator) -> None:
    with pytest.raises(InvalidRequest, match="history goes from 2010-01-04 to 2026-03-16"):
        source.tables.daily_candles(["005930"], date(2009, 12, 1), date(2009, 12, 31))
    assert server.log == []


def test_before_konex_opened_there_are_two_markets(
    source: KRXDataSource, server: Simulator
) -> None:
    rows = source.tables.whole_market(date(2013, 6, 28))
    assert set(rows["market"]) == {"KOSPI", "KOSDAQ"}
    assert len(server.log) == 2
    with pytest.raises(InvalidRequest, match="KONEX from 2013-07-01"):
        publication.check(date(2013, 6, 28), MORNING, "KONEX")


def test_a_day_is_published_at_eight_of_the_next_trading_day() -> None:
    friday = date(2026, 3, 13)
    at = publication.published_at(friday)
    assert at == datetime(2026, 3, 16, 8, tzinfo=calendar.SEOUL)
    assert publication.newest(at) == friday
    assert publication.newest(at.replace(hour=7, minute=59)) == date(2026, 3, 12)
    assert publication.newest(datetime(2026, 3, 15, 12, tzinfo=calendar.SEOUL)) == date(2026, 3, 12)


# What may go wrong


def test_an_empty_answer_for_a_trading_day_is_an_error_and_not_no_rows(
    source: KRXDataSource, server: Simulator
) -> None:
    server.faults.empty_day = True
    with pytest.raises(UnexpectedAnswer, match="no rows for 2026-03-13, which is a trading day"):
        source.tables.whole_market(date(2026, 3, 13))
    with pytest.raises(ServiceUnavailable, match=r"not published 2026-03-16 yet.*due this morning"):
        source.tables.whole_market(DAY)
    server.faults.clear()
    assert source.tables.whole_market(DAY).height > 60


def test_a_refused_key_says_that_each_api_is_applied_for(
    source: KRXDataSource, server: Simulator
) -> None:
    server.faults.unauthorized = When(path="ksq_bydd_trd")
    with pytest.raises(AuthenticationFailed, match=r"ksq_bydd_trd.*each API must be applied for"):
        source.tables.whole_market(DAY)
    assert asked(server).count("ksq_bydd_trd") == 1


@pytest.mark.parametrize(
    "fault",
    ["server_error", "bad_gateway", "html", "empty", "truncated", "garbage_gzip", "reset", "down"],
)
def test_what_may_pass_is_tried_again_and_then_named(
    source: KRXDataSource, server: Simulator, fault: str
) -> None:
    setattr(server.faults, fault, When(calls=1))
    assert source.get_chart_data("005930", count=1)
    assert source.tally.retries
    setattr(server.faults, fault, True)
    with pytest.raises(ServiceUnavailable):
        source.tables.whole_market(date(2026, 3, 12))


def test_a_hang_is_a_timeout(source: KRXDataSource, server: Simulator) -> None:
    server.faults.hang = When(seconds=31)
    with pytest.raises(ServiceUnavailable, match="ReadTimeout"):
        source.get_chart_data("005930", count=1)


def test_a_rate_refusal_is_waited_out_and_then_named(
    source: KRXDataSource, server: Simulator
) -> None:
    server.faults.refused = When(calls=1)
    assert source.get_chart_data("005930", count=1)
    server.faults.refused = True
    with pytest.raises(RateLimited, match="HTTP 429"):
        source.tables.whole_market(date(2026, 3, 12))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("another_days_bars", "expected 2026-03-16"),
        ("bad_number", "TDD_CLSPRC is 'abc'"),
        ("missing_required_field", "lacks TDD_CLSPRC"),
    ],
)
def test_an_answer_that_lies_is_not_believed(
    source: KRXDataSource, server: Simulator, fault: str, said: str
) -> None:
    setattr(server.faults, fault, True)
    with pytest.raises(UnexpectedAnswer, match=said):
        source.tables.whole_market(DAY)
    server.faults.clear()
    assert source.tables.whole_market(DAY).height > 60


def test_separators_signs_and_new_fields_change_nothing(
    source: KRXDataSource, server: Simulator
) -> None:
    plain = source.tables.whole_market(DAY)
    source.tables.history_is_stored(DAY, DAY)
    server.faults.padded_numbers = server.faults.extra_fields = True
    assert source.tables.whole_market(DAY).drop("fetched_at").equals(plain.drop("fetched_at"))


ROW = {
    "BAS_DD": "20260316", "ISU_CD": "005930", "ISU_NM": "삼성전자", "MKT_NM": "KOSPI",
    "SECT_TP_NM": "-", "TDD_CLSPRC": "1,000", "CMPPREVDD_PRC": "-10", "FLUC_RT": "-0.99",
    "TDD_OPNPRC": "1,010", "TDD_HGPRC": "1,020", "TDD_LWPRC": "990", "ACC_TRDVOL": "12,345",
    "ACC_TRDVAL": "12,345,000", "MKTCAP": "5,000,000,000", "LIST_SHRS": "5,000,000",
}  # fmt: skip
ISSUE = {
    "ISU_CD": "KR7005931001", "ISU_SRT_CD": "005935", "ISU_NM": "삼성전자 우선주",
    "ISU_ABBRV": "삼성전자우", "ISU_ENG_NM": "", "LIST_DD": "19890925", "MKT_TP_NM": "KOSPI",
    "SECUGRP_NM": "주권", "SECT_TP_NM": "", "KIND_STKCERT_TP_NM": "구형우선주", "PARVAL": "무액면",
    "LIST_SHRS": "1",
}  # fmt: skip

Told = Callable[..., KRXDataSource]


@pytest.fixture
def told(krx_settings: Settings) -> Iterator[Told]:
    """A source that is given these rows for KOSPI, and this body or status instead of them."""
    opened: list[KRXDataSource] = []

    def tell(*rows: Any, body: Any = None, status: int = 200, **more: Any) -> KRXDataSource:
        def answer(request: httpx.Request) -> httpx.Response:
            is_issues = request.url.path.endswith("base_info")
            content = {"OutBlock_1": [ISSUE] if is_issues else rows} if body is None else body
            return httpx.Response(status, content=json.dumps(content).encode())

        opened.append(KRXDataSource(krx_settings, transport=httpx.MockTransport(answer), **more))
        return opened[-1]

    yield tell
    for source in opened:
        source.close()


def kospi(source: KRXDataSource) -> pl.DataFrame:
    return source._markets.answer((client.DAILY["KOSPI"], DAY))


def test_numbers_are_read_with_separators_and_signs(told: Told) -> None:
    row = kospi(told(ROW)).row(0, named=True)
    assert (row["close"], row["change"], row["change_rate"]) == (1000, -10, -0.99)
    assert (row["volume"], row["market_cap"]) == (12_345, 5_000_000_000)
    assert row["department"] is None


@pytest.mark.parametrize("nothing", ["", " ", "-", None])
def test_where_krx_states_nothing_a_day_without_a_trade_has_zeros(
    told: Told, nothing: str | None
) -> None:
    names = ("TDD_OPNPRC", "TDD_HGPRC", "TDD_LWPRC", "ACC_TRDVOL", "ACC_TRDVAL")
    row = kospi(told(ROW | dict.fromkeys(names, nothing))).row(0, named=True)
    assert [row[name] for name in ("open", "high", "low", "volume", "trading_value")] == [0] * 5
    unknown = kospi(told(ROW | {"CMPPREVDD_PRC": nothing, "FLUC_RT": nothing})).row(0, named=True)
    assert (unknown["change"], unknown["change_rate"]) == (None, None)


def test_a_stock_without_a_change_has_no_base_price_and_no_candle(told: Told) -> None:
    source = told(ROW | {"CMPPREVDD_PRC": "-"})
    source._markets.fetch = lambda *_: None  # type: ignore[method-assign]
    answer = source._markets.answer
    empty = KRX_DAILY.empty()
    source._markets.answer = (  # type: ignore[method-assign]
        lambda one: answer(one) if one[0] == "stk_bydd_trd" else empty
    )
    fetched = source.tables.daily_candles(["005930"], DAY, DAY)
    assert fetched.rows.is_empty()
    assert list(fetched.absent) == ["005930"]


@pytest.mark.parametrize(("isin", "code"), [("KR7005930003", "005930"), ("KR70011A0009", "0011A0")])
def test_the_isin_of_a_common_share_holds_its_short_code(told: Told, isin: str, code: str) -> None:
    assert kospi(told(ROW | {"ISU_CD": isin}))["stock_code"].to_list() == [code]


def test_the_isin_of_a_preferred_share_does_not_and_is_looked_up(told: Told) -> None:
    """005931, which stands in it, is no stock."""
    assert kospi(told(ROW | {"ISU_CD": "KR7005931001"}))["stock_code"].to_list() == ["005935"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ISU_CD": "5930"}, "'5930' is neither"),
        ({"ISU_CD": "HK0000341732"}, "'HK0000341732' is neither"),
        ({"ISU_CD": "-"}, "lacks ISU_CD"),
        ({"BAS_DD": "20260313"}, "holds 2026-03-13, expected 2026-03-16"),
        ({"BAS_DD": "20261301"}, "BAS_DD is '20261301'"),
        ({"MKT_NM": "KOSDAQ"}, "'KOSDAQ', expected KOSPI"),
        ({"TDD_CLSPRC": "-"}, "lacks TDD_CLSPRC"),
        ({"TDD_CLSPRC": "1000.5"}, "TDD_CLSPRC is '1000.5'"),
        ({"FLUC_RT": "nan"}, "FLUC_RT is 'nan'"),
        ({"LIST_SHRS": ""}, "lacks LIST_SHRS"),
    ],
)
def test_a_row_that_cannot_be_right_is_named(
    told: Told, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(UnexpectedAnswer, match=said):
        kospi(told(ROW | changes))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"OutBlock_1": [ROW, ROW | {"ISU_CD": "KR7005930003"}]}, "holds 005930 twice"),
        ({"OutBlock_1": [{k: v for k, v in ROW.items() if k != "SECT_TP_NM"}]}, "lacks SECT_TP_NM"),
        ({"OutBlock_1": "none"}, "OutBlock_1 is missing or has another shape"),
        ({"OutBlock_1": ["row"]}, "a row of the answer is no object"),
        ({}, "OutBlock_1 is missing"),
    ],
)
def test_an_answer_of_another_shape_is_named(told: Told, body: Any, said: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=said):
        kospi(told(body=body))


def test_the_segment_global_is_kosdaq(told: Told) -> None:
    source = told(ROW | {"MKT_NM": "KOSDAQ GLOBAL"})
    rows = source._markets.answer((client.DAILY["KOSDAQ"], DAY))
    assert rows["market"].to_list() == ["KOSDAQ"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationFailed),
        (403, AuthenticationFailed),
        (404, InvalidRequest),
        (302, UnexpectedAnswer),
        (429, RateLimited),
        (503, ServiceUnavailable),
    ],
)
def test_the_status_says_which_error_it_is(told: Told, status: int, kind: type[KISError]) -> None:
    with pytest.raises(kind):
        kospi(told(body={"respMsg": KEY, "respCode": str(status)}, status=status))


def test_a_refusal_in_a_good_envelope_is_one_all_the_same(told: Told) -> None:
    with pytest.raises(AuthenticationFailed):
        kospi(told(body={"respMsg": "Unauthorized Key", "respCode": "401"}))


# The calls of a day


def test_ten_thousand_calls_a_day_are_made_and_no_more(told: Told, tmp_path: Path) -> None:
    now = datetime(2026, 3, 17, 23, 59, tzinfo=calendar.SEOUL).timestamp()
    source = told(ROW, wall_clock=lambda: now)
    spend(source, client.CALLS_A_DAY - 2)
    kospi(source)
    # Another process with the same key has what is left.
    other = told(ROW, wall_clock=lambda: now)
    kospi(other)
    other.tables.history_is_stored(DAY, DAY)
    with pytest.raises(RateLimited, match="10,000 calls"):
        kospi(other)
    assert other.tally.outcomes["stk_bydd_trd", "NotSent", ""] == 1
    now += 60
    kospi(other)


def spend(source: KRXDataSource, calls: int) -> None:
    """As if so many calls had been made today."""
    client = source._client

    def made(value: bytes | None, now: float) -> tuple[bytes, None]:
        today = datetime.fromtimestamp(now, calendar.SEOUL).date()
        return f"{today} {calls}".encode(), None

    client._state.update(client._calls, made, client._wall_clock)


# The key


def test_the_key_is_in_no_error_log_or_file(
    told: Told, server: Simulator, krx_settings: Settings, tmp_path: Path, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [repr(krx_settings), str(krx_settings)]
    for status in (200, 401, 429, 500):
        with pytest.raises(KISError) as caught:
            kospi(told(body={"respMsg": f"bad key {KEY}", "respCode": "500"}, status=status))
        texts += [str(caught.value), repr(caught.value), repr(vars(caught.value))]
    for fault in ("html", "reset", "hang", "bad_number"):
        setattr(server.faults, fault, When(seconds=99))
        with (
            KRXDataSource(krx_settings, transport=InProcessTransport(server)) as source,
            pytest.raises(KISError) as caught,
        ):
            source.tables.whole_market(DAY)
        texts += [str(caught.value), repr(caught.value)]
        setattr(server.faults, fault, False)
    assert KEY not in "\n".join(texts) + caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("key", ["two words", "열쇠", "line\nbreak"])
def test_a_key_that_cannot_be_a_header_is_one_sentence_without_it(key: str) -> None:
    with pytest.raises(SettingsError, match="KRX_API_KEY: must be one word") as caught:
        Settings.load(krx_api_key=key)
    assert key not in str(caught.value)


def test_without_a_key_krx_is_no_source() -> None:
    with pytest.raises(SettingsError, match="need KRX_API_KEY"):
        create_data_source("krx")
    with pytest.raises(AuthenticationFailed, match="need KRX_API_KEY"):
        KRXDataSource(Settings.load())


def test_the_factory_puts_a_cache_in_front(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATA_SOURCE_TYPE", "krx")
    monkeypatch.setenv("KRX_API_KEY", KEY)
    monkeypatch.setenv("KIS_REPLAY_AT", MORNING.isoformat())
    with serve(server) as url:
        monkeypatch.setenv("KRX_API_BASE_URL", f"{url}/svc/apis")
        for _ in range(2):
            with create_data_source() as source:
                assert source.name == "simulated_krx"
                assert len(source.get_chart_data("005930", count=2)) == 2
                with pytest.raises(NotSupported, match="no quotes"):
                    source.get_current_price("005930")
    assert len(server.log) == 2
    assert (tmp_path / "data" / "simulated_krx" / "state").is_dir()


# Market days


def test_seven_days_arrive_value_for_value(days_folder: Path, krx_settings: Settings) -> None:
    after = datetime(2026, 3, 18, 8, 0, tzinfo=calendar.SEOUL)
    simulator = Simulator(ReplayMarket(days_folder, clock=lambda: after), rate_limit=0)
    days = pl.read_parquet(days_folder / "daily.parquet")
    expected = days.select(
        pl.col("date").alias("trading_day"),
        pl.col("code").alias("stock_code"),
        pl.col("name").alias("stock_name"),
        pl.col("market").str.replace(" GLOBAL", "", literal=True),
        *(name for name in KRX_DAILY.schema if name in days.columns and name != "market"),
    ).sort("trading_day", "stock_code")
    with serve(simulator) as url:
        changed = {"krx_api_base_url": f"{url}/svc/apis", "kis_replay_at": after}
        with KRXDataSource(krx_settings.model_copy(update=changed)) as source:
            found = pl.concat(
                source.tables.whole_market(day) for day in days["date"].unique().sort()
            )
            chart = source.get_chart_data("005930", count=7)
    assert found.height == days.height > 2_000
    assert found.select(expected.columns).sort("trading_day", "stock_code").equals(expected)
    assert len(simulator.log) == 21
    assert [bar.close_price for bar in chart] == (
        days.filter(pl.col("code") == "005930").sort("date", descending=True)["close"].to_list()
    )
    assert found.filter(pl.col("market") == "KOSPI")["department"].unique().to_list() == [None]
    assert found["close"].min() == 2


# The simulator


def get(server: Simulator, path: str, key: str = KEY, **query: str) -> httpx.Response:
    with httpx.Client(transport=InProcessTransport(server), base_url="http://krx.test") as http:
        headers = {"AUTH_KEY": key} if key else {}
        return http.get(f"/svc/apis/sto/{path}", params=query, headers=headers)


def test_the_simulator_takes_both_paths_and_is_strict_about_the_rest(server: Simulator) -> None:
    plain = get(server, "knx_bydd_trd", basDd="20260316")
    assert plain.json() == get(server, "knx_bydd_trd.json", basDd="20260316").json()
    assert all(isinstance(v, str) for row in plain.json()["OutBlock_1"] for v in row.values())
    assert get(server, "knx_bydd_trd", key="", basDd="20260316").status_code == 401
    assert get(server, "knx_bydd_trd", key="another", basDd="20260316").status_code == 401
    assert get(server, "knx_bydd_trd").status_code == 400
    assert get(server, "knx_bydd_trd", basDd="2026-03-16").status_code == 400
    assert get(server, "knx_bydd_trd", BASDD="20260316").status_code == 400
    assert get(server, "xyz_bydd_trd", basDd="20260316").status_code == 404


@pytest.mark.parametrize("day", ["20260315", "20260317", "20091230", "20300102"])
def test_the_simulator_has_no_rows_of_a_day_that_is_not_published(
    server: Simulator, day: str
) -> None:
    assert get(server, "knx_bydd_trd", basDd=day).json() == {"OutBlock_1": []}


def test_the_simulator_may_publish_at_the_close() -> None:
    for hour, count in ((15, 0), (16, 1)):
        at = datetime(2026, 3, 17, hour, tzinfo=calendar.SEOUL)
        early = Simulator(ModelMarket(seed=0, clock=lambda at=at: at), rate_limit=0)
        early.faults.published_early = True
        rows = get(early, "knx_bydd_trd", basDd="20260317").json()["OutBlock_1"]
        assert bool(rows) is bool(count)

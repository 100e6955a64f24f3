"""Figures a day: value for value what the market did, none before it is final, none asked twice."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.exchange import calendar
from kis_assets.kis import (
    credit_balances,
    index_candles,
    investor_flows,
    market_flows,
    program_trades,
    short_sales,
    stock_loans,
)
from kis_assets.lake.lake import Lake
from kis_assets.lake.scope import Scope
from kis_assets.settings import Settings
from kis_assets.simulator.market.indices import Index, IndexBar, Indices, indices_of
from kis_assets.simulator.market.investors import CLASSES, flows, programme
from kis_assets.simulator.market.lending import lent, margin_loan, short_sale
from kis_assets.simulator.market.market import Bar
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.http import InProcessTransport
from kis_assets.simulator.server.server import Simulator
from kis_assets.simulator.wire.finance import nav_of
from kis_assets.simulator.wire.wire import Refusal
from kis_assets.sources.cached import open_store
from kis_assets.sources.kis import KISDataSource
from kis_assets.tables import (
    CREDIT_BALANCES,
    DAILY_CANDLES,
    ETF_NAVS,
    FINANCIAL_STATEMENTS,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    KRX_DAILY,
    MARKET_FLOWS,
    PROGRAM_TRADES,
    SHORT_SALES,
    STOCK_LOANS,
    STOCK_MASTER,
    TABLES,
    VALUATIONS,
    Table,
)
from kis_assets_tests.support.in_process import (
    alter,
    checks,
    failure,
    in_memory,
    lake,
    materialize,
    metadata,
    point_at,
    rows,
)
from kis_assets_tests.support.small_rows import candle, frame

pytestmark = pytest.mark.usefixtures("published_when_read")

MONTH, FIRST = "2026-11-01", date(2026, 11, 2)
CODES = ("005930", "000660", "035720", "247540")
MORNING = datetime(2026, 11, 18, 7, 45, tzinfo=calendar.SEOUL)
BY_STOCK = [INVESTOR_FLOWS, PROGRAM_TRADES, SHORT_SALES, STOCK_LOANS, CREDIT_BALANCES]


class Clock:
    """The market's time, which a test sets."""

    at = MORNING


@cache
def the_market() -> ModelMarket:
    return ModelMarket(seed=0, clock=lambda: Clock.at)


FLOWS, BAR = cache(flows), Indices._bar
BARS: dict[tuple[str, date], IndexBar | None] = {}


def bar_of(self: Indices, index: Index, basket: Any, members: Any, day: date) -> IndexBar | None:
    """The bar of an index; that of a day that changes no more is worked out once a process."""
    if day > Clock.at.date() - timedelta(days=7):
        return BAR(self, index, basket, members, day)
    if (index.code, day) not in BARS:
        BARS[index.code, day] = BAR(self, index, basket, members, day)
    return BARS[index.code, day]


@pytest.fixture(autouse=True)
def quick_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """A market is thirty stocks on three hundred days in each answer; most tests ask the same."""
    monkeypatch.setattr("kis_assets.simulator.wire.flows.flows", FLOWS)
    monkeypatch.setattr(Indices, "_bar", bar_of)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    """KIS in this process on a Wednesday morning at 07:45."""
    # Tokens run out by the clock on the wall: a new one is waited for.
    wall = partial(datetime.now, UTC)
    simulator = Simulator(the_market(), rate_limit=0, token_window=0.0, clock=wall)
    turn(simulator, monkeypatch, MORNING)
    yield simulator


def turn(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, at: datetime, codes: str = ""
) -> None:
    Clock.at = at
    for seen in (the_market()._quote, the_market()._shown):
        seen.cache_clear()
    point_at(simulator, monkeypatch, at, KIS_STOCK_CODES=codes or ",".join(CODES))


def asked(simulator: Simulator, name: str) -> int:
    """Requests that were answered: a token that ran out overnight costs others."""
    return sum(
        arrival.path.endswith(name) and not arrival.outcome.startswith("EGW")
        for arrival in simulator.log
    )


def bars(code: str, last: date) -> list[tuple[date, Bar, Bar]]:
    """A stock's days of the month: day, bar, bar before."""
    found = the_market().bars(code, FIRST - timedelta(days=15), last)
    return [(bar.day, bar, before) for before, bar in itertools.pairwise(found) if bar.day >= FIRST]


def millions(krw: int) -> int:
    return round(krw / 1_000_000) * 1_000_000


def whole(amount: int, unit: int) -> int:
    return amount // unit * unit


def settled_on(day: date) -> date:
    return calendar.next_trading_day(calendar.next_trading_day(day))


def test_investor_flows_are_those_of_the_market(server: Simulator) -> None:
    result = materialize("investor_flows", MONTH)
    assert all(checks(result).values())
    expected = [
        (
            day, code, name, flow.bought, flow.sold, flow.bought - flow.sold,
            millions(flow.bought_value), millions(flow.sold_value),
            millions(flow.bought_value - flow.sold_value),
        )
        for code in CODES
        for day, bar, _ in bars(code, date(2026, 11, 17))
        for name, flow in flows(code, bar, MORNING).items()
    ]  # fmt: skip
    stored = rows(INVESTOR_FLOWS).drop("source", "fetched_at")
    assert sorted(stored.rows()) == sorted(expected)
    assert len(expected) == 4 * 12 * len(CLASSES)


@pytest.mark.slow
def test_market_flows_are_in_shares_and_krw(server: Simulator) -> None:
    assert all(checks(materialize("market_flows", MONTH)).values())
    stored = rows(MARKET_FLOWS)
    assert stored.group_by("market").len().sort("market").rows() == [
        ("KOSDAQ", 144),
        ("KOSPI", 144),
    ]
    members = indices_of(the_market()).members("0001")
    day = date(2026, 11, 17)
    net = sum(
        flow.net
        for code in members
        for bar in the_market().bars(code, day, day)
        for name, flow in flows(code, bar, MORNING).items()
        if name == "individual"
    )
    one = stored.filter(trading_day=day, market="KOSPI", investor="individual")
    # The simulator's market is thirty stocks, times what all trade.
    net *= indices_of(the_market()).scale("0001")
    assert abs(one["net_volume"].item() - net) <= 1_000


def test_programme_trades_are_those_of_the_market(server: Simulator) -> None:
    assert all(checks(materialize("program_trades", MONTH)).values())
    expected = [
        (
            day,
            code,
            flow.bought,
            flow.sold,
            flow.net,
            flow.bought_value,
            flow.sold_value,
            flow.net_value,
        )
        for code in CODES
        for day, bar, _ in bars(code, date(2026, 11, 17))
        for flow in (programme(code, bar),)
    ]
    assert sorted(rows(PROGRAM_TRADES).drop("source", "fetched_at").rows()) == sorted(expected)


def test_short_sales_are_those_of_the_market_and_a_day_without_is_a_row_of_0(
    server: Simulator,
) -> None:
    materialize("daily_candles", MONTH)
    assert all(checks(materialize("short_sales", MONTH)).values())
    volume = {
        (bar.day, code): bar.volume for code in CODES for _, bar, _ in bars(code, Clock.at.date())
    }
    expected = [
        (day, code, sale.volume, sale.value, sale.volume / volume[day, code] * 100)
        for code in CODES
        for day, bar, _ in bars(code, date(2026, 11, 17))
        for sale in (short_sale(code, bar),)
    ]
    stored = rows(SHORT_SALES).drop("source", "fetched_at")
    assert sorted(stored.rows()) == sorted(expected)
    assert stored.filter(short_volume=0, short_value=0).height > 0


def test_without_candles_there_is_no_short_ratio_until_they_come(server: Simulator) -> None:
    materialize("short_sales", MONTH)
    assert rows(SHORT_SALES)["short_ratio"].null_count() == rows(SHORT_SALES).height
    materialize("daily_candles", MONTH)
    materialize("short_sales", MONTH)
    assert rows(SHORT_SALES)["short_ratio"].null_count() == 0
    assert asked(server, "daily-short-sale") == len(CODES)


def test_lent_shares_are_those_of_the_market(server: Simulator) -> None:
    assert all(checks(materialize("stock_loans", MONTH)).values())
    expected = [
        (day, code, loan.rest, whole(loan.rest * bar.close, 1_000_000), loan.new, loan.repaid)
        for code in CODES
        for day, bar, before in bars(code, date(2026, 11, 17))
        for loan in (lent(code, bar, before),)
    ]
    assert sorted(rows(STOCK_LOANS).drop("source", "fetched_at").rows()) == sorted(expected)


def test_credit_is_by_the_day_of_the_deal_three_sessions_later(server: Simulator) -> None:
    assert all(checks(materialize("credit_balances", MONTH)).values())
    expected = [
        (
            day,
            code,
            loan.rest,
            whole(loan.rest * bar.close * 75 // 100, 10_000),
            settled_on(day),
            loan.new,
            loan.repaid,
        )
        for code in CODES
        for day, bar, before in bars(code, date(2026, 11, 13))
        for loan in (margin_loan(code, bar, before),)
        if loan
    ]
    assert sorted(rows(CREDIT_BALANCES).drop("source", "fetched_at").rows()) == sorted(expected)
    assert rows(CREDIT_BALANCES)["trading_day"].max() == date(2026, 11, 13)


def test_indices_have_points_shares_and_krw(server: Simulator) -> None:
    assert all(checks(materialize("index_candles", MONTH)).values())
    stored = rows(INDEX_CANDLES)
    kospi = stored.filter(index_code="0001").sort("trading_day")
    truth = indices_of(the_market()).bars("0001", FIRST - timedelta(days=5), date(2026, 11, 17))
    assert kospi["close"].to_list() == [bar.close / 100 for bar in truth if bar.day >= FIRST]
    assert kospi["volume"].to_list() == [
        bar.volume // 1_000 * 1_000 for bar in truth if bar.day >= FIRST
    ]
    assert kospi["trading_value"].to_list() == [
        bar.value // 1_000_000 * 1_000_000 for bar in truth if bar.day >= FIRST
    ]
    assert kospi["index_name"].unique().to_list() == ["종합"]
    before = next(bar for bar in reversed(truth) if bar.day < FIRST)
    assert kospi["change"][0] == pytest.approx(kospi["close"][0] - before.close / 100)


@pytest.mark.parametrize("has_bars", ["3003", "2203"])
def test_kosdaq_150_is_had_whichever_code_has_its_bars(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, has_bars: str
) -> None:
    monkeypatch.setattr(
        "kis_assets.simulator.wire.indices.WITHOUT_BARS", {"3003", "2203"} - {has_bars}
    )
    monkeypatch.setenv("KIS_INDICES", "3003")
    materialize("index_candles", MONTH)
    assert rows(INDEX_CANDLES).select("index_code", "index_name").unique().rows() == [
        ("3003", "KOSDAQ150")
    ]


def test_the_list_of_indices_can_be_narrowed(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIS_INDICES", "0001, 1001")
    materialize("index_candles", MONTH)
    assert sorted(rows(INDEX_CANDLES)["index_code"].unique()) == ["0001", "1001"]
    assert asked(server, "inquire-daily-indexchartprice") == 2


def test_net_asset_values_are_of_every_etf(server: Simulator) -> None:
    assert all(checks(materialize("etf_navs", MONTH)).values())
    stored = rows(ETF_NAVS)
    funds = [stock for stock in the_market().stocks(FIRST) if stock.group == "EF"]
    assert set(stored["stock_code"]) == {fund.code for fund in funds}
    day, code = date(2026, 11, 17), funds[0].code
    (bar,) = the_market().bars(code, day, day)
    one = stored.row(by_predicate=(pl.col("trading_day") == day) & (pl.col("stock_code") == code))
    assert one[2:5] == (
        bar.close,
        nav_of(code, bar) / 100,
        (bar.close * 100 / nav_of(code, bar) - 1) * 100,
    )


def test_valuations_hold_what_a_quote_says(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(server, monkeypatch, MORNING.replace(hour=15, minute=45))
    result = materialize("valuations", "2026-11-18")
    assert all(checks(result).values()), checks(result)
    stored = rows(VALUATIONS).filter(stock_code="005930").row(0, named=True)
    assert stored["per"] == pytest.approx(stored["price"] / stored["eps"], abs=0.02)
    assert stored["foreign_rate"] == pytest.approx(
        stored["foreign_shares"] / stored["listed_shares"] * 100
    )
    assert stored["week52_low"] <= stored["price"] <= stored["week52_high"]
    assert stored["market_cap"] % 100_000_000 == 0


def test_statements_have_single_quarters_and_full_years(server: Simulator) -> None:
    result = materialize("financial_statements", MONTH)
    assert all(checks(result).values())
    stored = rows(FINANCIAL_STATEMENTS).filter(stock_code="005930").sort("fiscal_month")
    quarters = stored.filter(period="quarter")
    years = stored.filter(period="annual")
    assert set(years["fiscal_month"].dt.month()) == {12}
    of_2024 = quarters.filter(pl.col("fiscal_month").dt.year() == 2024)
    year = years.filter(pl.col("fiscal_month").dt.year() == 2024).row(0, named=True)
    assert of_2024["revenue"].sum() == year["revenue"]
    assert year["total_assets"] == year["total_liabilities"] + year["total_equity"]
    # The oldest row of the list accumulates, unless it is the first quarter of its year.
    oldest = quarters.row(0, named=True)
    assert (oldest["revenue"] is None) == (oldest["fiscal_month"].month != 3)


@pytest.mark.slow
def test_what_was_known_of_a_company_in_a_month_stays(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    october = "2026-10-01"
    turn(server, monkeypatch, datetime(2026, 10, 20, 21, tzinfo=calendar.SEOUL))
    materialize("financial_statements", october)
    materialize("financial_statements", october)
    assert asked(server, "income-statement") == 2 * len(CODES)  # none was asked again
    turn(server, monkeypatch, MORNING)
    said = failure(materialize("financial_statements", october))
    assert "only for 2026-11, not for 2026-10" in said
    materialize("financial_statements", MONTH)
    assert rows(FINANCIAL_STATEMENTS)["asked_month"].unique().len() == 2


# --- no row before it is final ----------------------------------------------------------------


@pytest.mark.parametrize("table", BY_STOCK, ids=lambda table: table.name)
@pytest.mark.parametrize(
    ("at", "newest", "newest_credit"),
    [
        ("2026-11-18 07:39", 16, 12),
        ("2026-11-18 07:40", 17, 13),
        pytest.param("2026-11-18 12:00", 17, 13, marks=pytest.mark.slow),
        ("2026-11-18 23:30", 17, 13),
        ("2026-11-21 12:00", 19, 17),  # a Saturday: Friday's are final on Monday
    ],
)
def test_no_row_is_stored_before_it_is_final(
    server: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    table: Table,
    at: str,
    newest: int,
    newest_credit: int,
) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=calendar.SEOUL)
    turn(server, monkeypatch, moment, codes="005930")
    result = materialize(table.name, MONTH)
    assert result.success, failure(result)
    expected = newest_credit if table is CREDIT_BALANCES else newest
    assert rows(table)["trading_day"].max() == date(2026, 11, expected)


# --- economy ----------------------------------------------------------------------------------

SERVICES = {
    "investor_flows": investor_flows.SERVICE,
    "program_trades": program_trades.SERVICE,
    "short_sales": short_sales.SERVICE,
    "stock_loans": stock_loans.SERVICE,
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_stock_is_asked_once_and_not_again_for_what_is_there(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = SERVICES[name].endpoint.name
    materialize(name, MONTH)
    assert asked(server, path) == len(CODES)
    materialize(name, MONTH)
    assert asked(server, path) == len(CODES)
    # On the next morning one day is missing of each stock.
    turn(server, monkeypatch, MORNING + timedelta(days=1))
    materialize(name, MONTH)
    assert asked(server, path) == 2 * len(CODES)


@pytest.fixture
def keeping(server: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes for earlier months is kept, as in a run."""

    def with_store(settings: Settings) -> KISDataSource:
        return KISDataSource(
            settings,
            transport=InProcessTransport(server, lambda _: None),
            workers=2,
            has_quota=False,
            store=open_store(settings),
        )

    monkeypatch.setattr("kis_assets.defs.resources.create_data_source", with_store)


HALF_A_YEAR = [f"2026-{month:02}-01" for month in (11, 10, 9, 8, 7, 6)]


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("short_sales", 100),
        pytest.param("investor_flows", 30, marks=pytest.mark.slow),
        ("credit_balances", 30),
    ],
)
def test_no_day_is_asked_for_twice_on_the_way_back(
    server: Simulator, keeping: None, name: str, days: int
) -> None:
    for month in HALF_A_YEAR:
        result = materialize(name, month)
        assert result.success, failure(result)
    sessions = calendar.trading_days(date(2026, 6, 1), date(2026, 11, 17))
    (table,) = [table for table in BY_STOCK if table.name == name]
    service = {**SERVICES, "credit_balances": credit_balances.SERVICE}[name]
    told = rows(table).group_by("stock_code").agg(pl.col("trading_day").n_unique())
    # Credit is known three sessions later.
    late = 2 if name == "credit_balances" else 0
    assert set(told["trading_day"]) == {len(sessions) - late}
    asked_for = asked(server, service.endpoint.name) / len(CODES)
    assert asked_for <= -(-len(sessions) // days) + (1 if late else 0)


@pytest.mark.slow
def test_an_index_has_its_change_where_two_answers_meet(server: Simulator, keeping: None) -> None:
    for month in HALF_A_YEAR:
        materialize("index_candles", month)
    bars = rows(INDEX_CANDLES).filter(index_code="0001").sort("trading_day")
    change = bars["close"].diff().round(2)
    assert bars["change"][1:].to_list() == pytest.approx(change[1:].to_list())


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [*BY_STOCK[:4], pytest.param(MARKET_FLOWS, marks=pytest.mark.slow)],
    ids=lambda table: table.name,
)
def test_an_empty_answer_is_told_and_repaired_and_takes_nothing_away(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    service = {**SERVICES, "market_flows": market_flows.SERVICE}[table.name]
    materialize(table.name, MONTH)
    before = rows(table)
    turn(server, monkeypatch, MORNING + timedelta(days=1))
    server.faults.no_rows = When(path=service.endpoint.name)
    told = metadata(materialize(table.name, MONTH))
    assert told["failed"] == before.select(table.key[1]).n_unique()
    assert rows(table).drop("fetched_at").equals(before.drop("fetched_at"))
    server.faults.clear()
    assert metadata(materialize(table.name, MONTH))["failed"] == 0
    assert rows(table)["trading_day"].max() == date(2026, 11, 18)
    kept = rows(table).filter(pl.col("trading_day") <= date(2026, 11, 17))
    order = list(table.key)
    columns = pl.exclude("fetched_at", "short_ratio")
    assert kept.sort(order).select(columns).equals(before.sort(order).select(columns))


def test_zeros_are_no_flows(server: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(payload: dict[str, object]) -> None:
        for row in payload["output2"]:
            for name in row:
                if name.endswith(("_qty", "_vol", "_pbmn")) and not name.startswith("acml"):
                    row[name] = "0"

    alter(monkeypatch, investor_flows.SERVICE.endpoint, nobody)
    assert "the classes traded 0 of" in failure(materialize("investor_flows", MONTH))
    assert rows(INVESTOR_FLOWS).is_empty()


@pytest.mark.parametrize(("share", "stored"), [(1.1, True), (2.5, False)])
def test_flows_without_the_after_market_are_stored(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, share: float, stored: bool
) -> None:
    """Its value then holds what the classes do not; more than half of a day it is not."""

    def whole_day(payload: dict[str, object]) -> None:
        for row in payload["output2"]:
            row["acml_tr_pbmn"] = str(round(int(row["acml_tr_pbmn"]) * share))

    alter(monkeypatch, investor_flows.SERVICE.endpoint, whole_day)
    materialize("investor_flows", MONTH)
    assert rows(INVESTOR_FLOWS).is_empty() is not stored


@pytest.mark.parametrize(
    ("name", "where", "field"),
    [
        ("investor_flows", "output2", "prsn_ntby_qty"),
        ("index_candles", "output2", "bstp_nmix_hgpr"),
    ],
)
def test_a_day_that_cannot_be_right_is_left_out_and_said(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, name: str, where: str, field: str
) -> None:
    """Of the stock's other days nothing was stored, for a row of another month as well."""
    odd = ["20261112"]

    def spoil(payload: dict[str, object]) -> None:
        for row in payload[where]:
            if row["stck_bsop_date"] in (*odd, "20261029"):
                row[field] = "1"

    service = {"investor_flows": investor_flows, "index_candles": index_candles}[name].SERVICE
    alter(monkeypatch, service.endpoint, spoil)
    result = materialize(name, MONTH)
    asked = metadata(result)["failed"]
    assert asked > 0
    assert "KIS's row of 2026-11-12: " in str(metadata(result)["failures"])
    days = set(rows(TABLES[name])["trading_day"])
    assert len(days) == 11
    assert date(2026, 11, 12) not in days
    odd.clear()
    assert metadata(materialize(name, MONTH))["failed"] == 0
    assert len(set(rows(TABLES[name])["trading_day"])) == 12


@pytest.mark.slow
def test_a_market_of_zeros_is_refused(server: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(market_flows.MARKETS, "KOSDAQ", ("XXX", "1001"))
    result = materialize("market_flows", MONTH)
    assert metadata(result)["failed"] == 1
    assert rows(MARKET_FLOWS)["market"].unique().to_list() == ["KOSPI"]


def test_a_refused_second_page_stores_no_part_of_a_stock(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = [True]

    def short(payload: dict[str, object]) -> None:
        """A month takes two answers then, of which the second is refused."""
        days = payload["output2"]
        if days[0]["stck_bsop_date"] < "20261117" and refuses[0]:
            raise Refusal("1", "OPSQ0001", "refused", 200)
        payload["output2"] = days[:8]

    alter(monkeypatch, investor_flows.SERVICE.endpoint, short)
    assert "refused" in failure(materialize("investor_flows", MONTH))
    assert rows(INVESTOR_FLOWS).is_empty()
    refuses[0] = False
    assert metadata(materialize("investor_flows", MONTH))["failed"] == 0
    days = rows(INVESTOR_FLOWS).group_by("stock_code").agg(pl.col("trading_day").n_unique())
    assert days["trading_day"].to_list() == [12] * len(CODES)


def test_a_second_page_that_is_refused_once_is_asked_for_again(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(payload: dict[str, object]) -> None:
        payload["output2"] = payload["output2"][:8]

    alter(monkeypatch, investor_flows.SERVICE.endpoint, short)
    server.faults.refuse_page = 2
    assert metadata(materialize("investor_flows", MONTH))["failed"] == 0
    assert rows(INVESTOR_FLOWS).height == len(CODES) * 12 * len(CLASSES)


def test_two_stocks_never_have_the_same_loans(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So KIS answers where it is asked for the whole market."""

    def market(payload: dict[str, object]) -> None:
        row = {"bsop_date": "20261117", "stck_prpr": "4028.95", "prdy_rmnd_vrss": "0"}
        figures = {"new_stcn": "5", "rdmp_stcn": "5", "rmnd_stcn": "2000000", "rmnd_amt": "8058"}
        payload["output1"] = [row | figures]

    alter(monkeypatch, stock_loans.SERVICE.endpoint, market)
    assert metadata(materialize("stock_loans", MONTH))["failed"] == len(CODES) - 1


@pytest.mark.slow
def test_a_split_changes_no_flow_of_before(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS restates prices and volumes after it, and not what investors and short sellers traded."""
    splits = [
        action
        for action in the_market().actions(date(2026, 10, 1), date(2026, 11, 30))
        if action.kind == "split" and action.ex_day.month == 11
    ]
    split = splits[0]
    eve = calendar.previous_trading_day(split.halted_from or split.ex_day)
    at = datetime.combine(calendar.next_trading_day(eve), MORNING.time(), calendar.SEOUL)
    turn(server, monkeypatch, at, codes=split.code)
    for name in ("daily_candles", "investor_flows", "short_sales"):
        materialize(name, MONTH)
    before = {table.name: rows(table) for table in (INVESTOR_FLOWS, SHORT_SALES)}
    later = calendar.next_trading_day(split.ex_day)
    turn(server, monkeypatch, datetime.combine(later, MORNING.time(), calendar.SEOUL), split.code)
    for table in (INVESTOR_FLOWS, SHORT_SALES):
        # As if nothing had been stored: all of the month is asked for again.
        lake().replace(table, Scope.month(FIRST), table.empty())
    for name in ("daily_candles", "investor_flows", "short_sales"):
        assert materialize(name, MONTH).success
    for table in (INVESTOR_FLOWS, SHORT_SALES):
        order = list(table.key)
        old = before[table.name].sort(order).drop("fetched_at")
        new = rows(table).filter(pl.col("trading_day") <= eve).sort(order).drop("fetched_at")
        assert new.equals(old.filter(pl.col("trading_day") <= eve)), table.name
    ratio = rows(SHORT_SALES).filter(pl.col("trading_day") < split.ex_day)["short_ratio"]
    assert ratio.drop_nulls().max() <= 100  # type: ignore[operator]


OCTOBER, GONE = "2026-10-01", "439390"
LAST_DAY = date(2026, 10, 23)
"""The last session of a stock that is not listed any more."""


def said(run_id: str) -> str:
    return "\n".join(it.user_message for it in in_memory().all_logs(run_id) if it.level == 30)


@pytest.mark.parametrize("evidence", ["a candle", "KRX's list", "a later master"])
def test_a_backfill_asks_for_stocks_that_are_gone_since(
    server: Simulator, monkeypatch: pytest.MonkeyPatch, evidence: str
) -> None:
    turn(server, monkeypatch, MORNING, codes=f"005930,{GONE}")
    known = {"stock_code": GONE, "trading_day": LAST_DAY}
    if evidence == "a candle":
        row = candle(LAST_DAY, 10, 12, 9, 11, **known)
        lake().replace(
            DAILY_CANDLES, Scope.month(LAST_DAY), frame(DAILY_CANDLES, row, source="kis")
        )
    elif evidence == "KRX's list":
        names = ("open", "high", "low", "close", "change", "volume", "trading_value", "market_cap")
        row = known | dict.fromkeys((*names, "listed_shares"), 1)
        row |= {"stock_name": "물봄A&B", "market": "KOSDAQ", "change_rate": 0.0}
        beside = Lake(lake().folder.parent / "krx", source="krx")
        beside.replace(KRX_DAILY, Scope.day(LAST_DAY), frame(KRX_DAILY, row, source="krx"))
    else:
        # It was listed when November began to be stored.
        later = date(2026, 11, 2)
        master = the_market().stocks(LAST_DAY)
        (stock,) = [it for it in master if it.code == GONE]
        row = {"stock_code": GONE, "trading_day": later, "isin": stock.isin, "market": "KOSDAQ",
               "stock_name": stock.name, "security_type": "common", "is_halted": False,
               "security_group": "ST", "listed_shares": 1,
               "listed_on": stock.listed_on}  # fmt: skip
        lake().replace(STOCK_MASTER, Scope.day(later), frame(STOCK_MASTER, row, source="kis"))
    result = materialize("investor_flows", OCTOBER)
    assert result.success, failure(result)
    of_gone = rows(INVESTOR_FLOWS).filter(stock_code=GONE)
    assert of_gone["trading_day"].max() == LAST_DAY
    assert of_gone["trading_day"].n_unique() == len(
        calendar.trading_days(date(2026, 10, 1), LAST_DAY)
    )
    # Without KRX's own list of the month nobody knows all who are gone.
    told = "the list of stocks of 2026-10 is not stored"
    is_unknown = evidence != "KRX's list"
    assert (told in said(result.run_id)) is is_unknown
    assert metadata(result).get("universe", "").startswith(told) is is_unknown
    assert "KRX_API_KEY" in metadata(result).get("universe", "KRX_API_KEY")


def test_months_after_a_stock_is_gone_ask_nothing_of_it(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(server, monkeypatch, MORNING, codes=f"005930,{GONE}")
    row = candle(LAST_DAY, 10, 12, 9, 11, stock_code=GONE)
    lake().replace(DAILY_CANDLES, Scope.month(LAST_DAY), frame(DAILY_CANDLES, row, source="kis"))
    materialize("investor_flows", MONTH)
    assert asked(server, SERVICES["investor_flows"].endpoint.name) == 1


def test_the_virtual_server_says_what_it_lacks(
    server: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual = Simulator(the_market(), environment="virtual", rate_limit=0, token_window=0.0)
    point_at(virtual, monkeypatch, MORNING, KIS_STOCK_CODES="005930")
    for name in ("investor_flows", "short_sales", "financial_statements", "etf_navs"):
        said = failure(materialize(name, MONTH))
        assert "the virtual server has no such service; the real one has" in said, name
    assert materialize("index_candles", MONTH).success


def test_requests_are_counted(server: Simulator) -> None:
    """An evening of four stocks is four requests a table."""
    for name in SERVICES:
        materialize(name, MONTH)
    counted = Counter(arrival.path.rsplit("/", 1)[-1] for arrival in server.log)
    assert {name: counted[it.endpoint.name] for name, it in SERVICES.items()} == dict.fromkeys(
        SERVICES, len(CODES)
    )

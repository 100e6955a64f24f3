"""What analysts ask of `Market`, by value: returns, flows, screens, the universe of a past day."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets import Market
from kis_assets.exchange import calendar, indices
from kis_assets.kis.investor_flows import CLASSES
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.reader import NotStored, NotStoredWarning, SurvivorshipWarning
from kis_assets.tables import (
    CORPORATE_ACTIONS,
    DAILY_CANDLES,
    FINANCIAL_STATEMENTS,
    INDEX_CANDLES,
    INVESTOR_FLOWS,
    KRX_DAILY,
    MARKET_DAYS,
    MARKET_FLOWS,
    MINUTE_CANDLES,
    PRICE_SNAPSHOTS,
    SHORT_SALES,
    STOCK_INFO,
    STOCK_MASTER,
    VALUATIONS,
    Table,
)
from kis_assets_tests.support.small_lake import listing
from kis_assets_tests.support.small_rows import based, candle, frame

TODAY = date(2026, 3, 17)
SESSIONS = calendar.trading_days(date(2026, 2, 2), TODAY)
A, B = "005930", "000660"
BILLION = 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "mock", source="mock")
    made.replace(STOCK_MASTER, Scope.day(TODAY), listing())
    return made


@pytest.fixture
def market(lake: Lake) -> Iterator[Market]:
    with Market(lake.folder) as opened:
        yield opened


def put(lake: Lake, table: Table, *rows: dict[str, Any]) -> None:
    """Store rows, a month at a time; what they do not say is zero or null."""
    blank = {it.name: 0 for it in table.columns if not it.nullable and it.dtype.is_numeric()}
    blank |= {it.name: "" for it in table.columns if not it.nullable and it.dtype == pl.String()}
    blank |= {"source": lake.source}
    held = frame(table, *(blank | row for row in rows))
    months = held[table.clock].dt.truncate("1mo").unique().to_list()
    for month in months:
        in_month = pl.col(table.clock).dt.truncate("1mo") == month
        lake.replace(table, Scope.month(month), held.filter(in_month), publish=False)
    lake.publish(only_if_stale=True)


def test_a_week_with_a_split_is_on_one_basis(lake: Lake, market: Market) -> None:
    monday, tuesday, wednesday = date(2026, 3, 9), date(2026, 3, 10), date(2026, 3, 11)
    put(
        lake,
        DAILY_CANDLES,
        candle(monday, 50_000, 52_000, 49_000, 50_000, volume=100),
        candle(tuesday, 0, 0, 0, 50_000, volume=0, base_price=50_000),
        candle(wednesday, 5_000, 5_300, 4_950, 5_100, volume=2_000, base_price=5_000),
    )
    for rows in (market.weekly_candles(A, adjusted=True), market.monthly_candles(A, adjusted=True)):
        (row,) = rows.to_dicts()
        assert [round(row[name], 6) for name in ("open", "high", "low", "close")] == [
            *(5_000, 5_300, 4_900, 5_100)
        ]
        assert (row["volume"], row["days"]) == (3_000, 3)
    assert market.weekly_candles(A)["high"].to_list() == [5_300]


def test_a_dividend_buys_more_of_the_stock_on_its_day(lake: Lake, market: Market) -> None:
    first, second, third = SESSIONS[-3:]
    put(lake, DAILY_CANDLES, based(first, 10_000, 10_000), based(second, 9_500, 10_000),
        based(third, 9_500, 9_500))  # fmt: skip
    action = {"stock_code": A, "kind": "cash_dividend", "origin": "dividend"}
    put(lake, CORPORATE_ACTIONS, action | {"effective_on": second, "amount": 500.0},
        action | {"effective_on": third, "amount": None})  # fmt: skip
    rows = market.total_return(A)
    assert rows["dividend"].to_list() == [0, 500, 0]
    kept = 9_500 * (1 + 500 / 9_500)
    assert rows["total_return"].to_list() == pytest.approx([10_000, kept, kept])


def test_a_dividend_before_a_split_counts_on_the_shares_of_its_day(
    lake: Lake, market: Market
) -> None:
    first, second, third = SESSIONS[-3:]
    put(lake, DAILY_CANDLES, based(first, 10_000, 10_000), based(second, 10_000, 10_000),
        based(third, 1_000, 1_000))  # fmt: skip
    paid = {"stock_code": A, "kind": "cash_dividend", "origin": "dividend", "amount": 1_000.0}
    put(lake, CORPORATE_ACTIONS, paid | {"effective_on": second})
    assert market.total_return(A)["growth"].to_list() == pytest.approx([1.0, 1.1, 1.1])


def test_candles_of_any_number_of_minutes_are_counted_from_nine(lake: Lake, market: Market) -> None:
    def minute(clock: str, close: int) -> dict[str, Any]:
        at = datetime.fromisoformat(f"2026-03-17T{clock}+09:00").astimezone(UTC)
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        return {"trading_day": TODAY, "started_at": at, "stock_code": A, "session": "regular",
                "volume": 1, "trading_value": close} | prices  # fmt: skip

    closes = {"09:00": 100, "09:06": 106, "09:07": 107, "15:19": 200, "15:30": 210}
    rows = [minute(clock, close) for clock, close in closes.items()]
    lake.replace(MINUTE_CANDLES, Scope.day(TODAY), frame(MINUTE_CANDLES, *rows))
    found = market.minutes(A, TODAY, every=7)
    seoul = found["started_at"].dt.convert_time_zone("Asia/Seoul").dt.strftime("%H:%M").to_list()
    assert seoul == ["09:00", "09:07", "15:18", "15:30"]
    assert found["close"].to_list() == [106, 107, 200, 210]
    assert market.minutes(A, TODAY, every=391)["volume"].to_list() == [4, 1]


def test_returns_stand_beside_those_of_an_index(lake: Lake, market: Market) -> None:
    first, second = SESSIONS[-2:]
    put(lake, DAILY_CANDLES, based(first, 10_000, 10_000), based(second, 10_300, 10_000))
    bar = {"index_code": "0001", "open": 2600.0, "high": 2700.0, "low": 2500.0}
    put(lake, INDEX_CANDLES, bar | {"trading_day": first, "close": 2600.0},
        bar | {"trading_day": second, "close": 2626.0})  # fmt: skip
    (row,) = market.benchmark(A, second).to_dicts()
    assert row["stock_return"] == pytest.approx(0.03)
    assert row["index_return"] == pytest.approx(0.01)
    assert row["excess_return"] == pytest.approx(0.02)
    with pytest.raises(ValueError, match="is no index"):
        market.benchmark(A, index="DAX")


def test_across_a_gap_both_returns_are_of_the_same_span(lake: Lake, market: Market) -> None:
    first, between, last = SESSIONS[-3:]
    put(lake, DAILY_CANDLES, based(first, 10_000, 10_000), based(last, 10_300, 10_300),
        based(between, 7, 7) | {"stock_code": B})  # fmt: skip
    bar = {"index_code": "0001", "open": 2600.0, "high": 2700.0, "low": 2500.0}
    put(lake, INDEX_CANDLES, *(
        bar | {"trading_day": day, "close": close}
        for day, close in ((first, 2_000.0), (between, 1_000.0), (last, 2_100.0))
    ))  # fmt: skip
    (row,) = market.benchmark(A).to_dicts()
    assert row["index_return"] == pytest.approx(0.05)


def test_on_a_day_that_opens_late_candles_are_counted_from_its_open(
    lake: Lake, market: Market
) -> None:
    late = date(2026, 11, 19)
    opens = datetime(2026, 11, 19, 1, 0, tzinfo=UTC)
    day = {"day": late, "is_open": True, "opens_at": opens,
           "closes_at": opens + timedelta(minutes=390), "note": "", "known_from": "computed",
           "after_market_opens_at": opens + timedelta(hours=7)}  # fmt: skip
    lake.replace(MARKET_DAYS, Scope.year(2026), frame(MARKET_DAYS, day))
    same = {"trading_day": late, "stock_code": A, "volume": 1, "trading_value": 1}
    same |= dict.fromkeys(("open", "high", "low", "close"), 100)
    minutes = [
        same | {"session": session, "started_at": opens + timedelta(minutes=after)}
        for session, after in (("regular", 0), ("regular", 49), ("regular", 50),
                               ("regular", 390), ("after_market", 420), ("after_market", 469))
    ]  # fmt: skip
    lake.replace(MINUTE_CANDLES, Scope.day(late), frame(MINUTE_CANDLES, *minutes))
    found = market.minutes(A, late, every=50)
    after = (found["started_at"] - opens).dt.total_minutes().to_list()
    assert after == [0, 50, 390, 420]
    assert found["volume"].to_list() == [2, 1, 1, 2]


def test_without_the_index_a_benchmark_says_how_to_get_it(lake: Lake, market: Market) -> None:
    put(lake, DAILY_CANDLES, *(based(day, 10, 10) for day in SESSIONS[-2:]))
    with pytest.raises(NotStored, match="kis-assets run --table index_candles"):
        market.benchmark(A)


def test_an_index_is_called_as_people_call_it() -> None:
    assert [indices.code_of(name) for name in ("kospi", "KOSPI 200", "kosdaq150", "0013")] == [
        *("0001", "2001", "3003", "0013")
    ]


def put_flows(lake: Lake, days: list[date]) -> None:
    nets = {"individual": -3, "foreign_registered": 1, "foreign_unregistered": 1, "pension": 2,
            "other_corporation": -1}  # fmt: skip
    put(lake, INVESTOR_FLOWS, *(
        {"trading_day": day, "stock_code": A, "investor": name,
         "net_volume": nets.get(name, 0) * 100, "net_value": nets.get(name, 0) * BILLION}
        for day in days for name in CLASSES
    ))  # fmt: skip


def test_twelve_classes_are_four_groups(lake: Lake, market: Market) -> None:
    put_flows(lake, [TODAY])
    (row,) = market.investor_flows(A, wide=True).to_dicts()
    groups = ("individual", "foreign", "institution", "other")
    assert [row[f"{name}_net_value"] // BILLION for name in groups] == [-3, 2, 2, -1]
    assert [row[f"{name}_net_volume"] for name in groups] == [-300, 200, 200, -100]
    assert market.investor_flows(A).height == 12


def put_history(lake: Lake) -> None:
    """At 20,000 for weeks, then at 22,000; today after a split by two from 11,000 to 12,000."""
    closes = [20_000] * (len(SESSIONS) - 2) + [22_000, 11_000]
    before = [20_000, *closes[:-1]]
    rows = [
        based(day, close, base, volume=100)
        for day, close, base in zip(SESSIONS, closes, before, strict=True)
    ]
    rows[-1] = candle(TODAY, 11_500, 12_500, 10_900, 12_000, volume=500, base_price=11_000,
                      change=1_000)  # fmt: skip
    # A day without a trade: its low is 0 and is no low.
    rows[5] = candle(SESSIONS[5], 0, 0, 0, 20_000, volume=0)
    put(lake, DAILY_CANDLES, *rows)


def test_facts_are_of_adjusted_prices_and_of_the_newest_sessions(
    lake: Lake, market: Market
) -> None:
    put_history(lake)
    put_flows(lake, SESSIONS[-26:-1])
    put(lake, SHORT_SALES, *(
        {"trading_day": day, "stock_code": A, "short_ratio": 2.0 if day == SESSIONS[-2] else 1.0}
        for day in SESSIONS[-3:-1]
    ))  # fmt: skip
    put(lake, CORPORATE_ACTIONS, {"effective_on": SESSIONS[-4], "stock_code": A, "amount": 240.0,
                                  "kind": "cash_dividend", "origin": "dividend"})  # fmt: skip
    at = datetime(2026, 3, 17, 6, 50, tzinfo=UTC)
    valued = {"captured_at": at, "trading_day": TODAY, "stock_code": A, "price": 12_000,
              "per": 8.0, "pbr": 0.9}  # fmt: skip
    lake.replace(VALUATIONS, Scope.capture(TODAY, at), frame(VALUATIONS, valued))
    put(lake, FINANCIAL_STATEMENTS, *(
        {"asked_month": date(2026, 3, 1), "stock_code": A, "fiscal_month": date(year, 12, 1),
         "period": "annual", "roe": roe} for year, roe in ((2024, 5.0), (2025, 9.0))
    ))  # fmt: skip
    (row,) = market.screen(f"stock_code = '{A}'").to_dicts()
    expected = {
        "price": 12_000,
        "return_5d": 20.0,
        "return_20d": 20.0,
        "volume_ratio": 500 / 200,
        "foreign_net_20d": 40 * BILLION,
        "institution_net_20d": 40 * BILLION,
        "individual_net_20d": -60 * BILLION,
        "short_ratio_20d": 1.5,
        "dividend_yield": 2.0,
        "per": 8.0,
        "roe": 9.0,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["return_252d"] is None
    assert row["candle_day"] == TODAY


@pytest.mark.parametrize(("sessions", "known"), [(253, True), (252, True), (251, False)])
def test_extremes_of_52_weeks_are_of_all_those_weeks_or_null(
    lake: Lake, market: Market, sessions: int, known: bool
) -> None:
    """A stock that is listed since has all its days; one that was not fetched lacks some."""
    days = calendar.trading_days(date(2025, 2, 3), TODAY)[-sessions:]
    new, late = "247540", "035420"
    put(lake, DAILY_CANDLES, *(candle(day, 10, 12, 9, 10) for day in days), *(
        candle(day, 10, 12, 9, 10, stock_code=code) for day in days[-30:] for code in (new, late)
    ))  # fmt: skip
    listed = pl.when(pl.col("stock_code") == new).then(days[-30]).otherwise(date(2020, 1, 2))
    lake.replace(STOCK_MASTER, Scope.day(TODAY), listing().with_columns(listed_on=listed))
    found = {row["stock_code"]: row for row in market.screen().to_dicts()}
    nothing, extremes = (None, None, None), (12, 9, pytest.approx(100 * (10 / 12 - 1)))
    for code, expected in ((A, extremes if known else nothing), (new, extremes), (late, nothing)):
        row = found[code]
        assert (row["week52_high"], row["week52_low"], row["from_high"]) == expected, code


@pytest.mark.parametrize("away", [range(60, 81), range(1)], ids=["a month", "the newest day"])
def test_extremes_of_a_stock_that_lacks_sessions_are_null_and_a_halt_lacks_none(
    lake: Lake, market: Market, away: range
) -> None:
    """A halted stock has a row without prices for each session; one that failed has none."""
    days = calendar.trading_days(date(2025, 2, 3), TODAY)[-252:]
    lacking = {days[-1 - ago] for ago in away}
    put(lake, DAILY_CANDLES, *(candle(day, 10, 12, 9, 10) for day in days if day not in lacking), *(
        candle(day, *((0, 0, 0) if day in lacking else (10, 12, 9)), 10, stock_code=B)
        for day in days
    ))  # fmt: skip
    found = {row["stock_code"]: row for row in market.screen().to_dicts()}
    assert [(found[code]["week52_high"], found[code]["week52_low"]) for code in (A, B)] == [
        (None, None),
        (12, 9),
    ]


def test_extremes_do_not_need_to_know_when_a_stock_was_listed(lake: Lake, market: Market) -> None:
    days = calendar.trading_days(date(2025, 2, 3), TODAY)[-252:]
    put(lake, DAILY_CANDLES, *(candle(day, 10, 12, 9, 10) for day in days))
    assert market.screen("week52_high = 12")["stock_code"].to_list() == [A]


def test_sessions_that_are_not_stored_count_and_nothing_before_them_does(
    lake: Lake, market: Market
) -> None:
    """The month between two stored ones is missing: 20 stored days ago is no 20 sessions ago."""
    newest = calendar.trading_days(date(2026, 3, 3), TODAY)
    before = calendar.trading_days(date(2026, 1, 5), date(2026, 1, 30))
    put(lake, DAILY_CANDLES, *(candle(day, 50, 90, 40, 50) for day in before),
        *(candle(day, 10, 12, 9, 10) for day in newest))  # fmt: skip
    year = map(calendar.ordinary_session, calendar.trading_days(newest[0].replace(month=1), TODAY))
    lake.replace(MARKET_DAYS, Scope.year(TODAY), frame(MARKET_DAYS, *(
        {"day": it.day, "is_open": True, "known_from": "computed", "opens_at": it.opens_at,
         "closes_at": it.closes_at} for it in year
    )))  # fmt: skip
    (row,) = market.screen(f"stock_code = '{A}'").to_dicts()
    assert row["return_5d"] == pytest.approx(0)
    assert (row["return_20d"], row["return_60d"]) == (None, None)
    put_flows(lake, [*before, *newest])
    put(lake, SHORT_SALES, *(
        {"trading_day": day, "stock_code": A, "short_ratio": 9.0 if day in before else 1.0}
        for day in (*before, *newest)
    ))  # fmt: skip
    (row,) = market.screen(f"stock_code = '{A}'").to_dicts()
    (alone,) = (
        market.investor_flows(A, newest[0], wide=True).select("foreign_net_value").sum().row(0)
    )
    assert (row["foreign_net_20d"], row["short_ratio_20d"]) == (alone, 1.0)
    with pytest.warns(NotStoredWarning, match=r"a split in 2026-02 would not be known.*backfill"):
        market.daily_candles(A, "2026-01-05", "2026-01-30", adjusted=True)


def test_a_screen_is_sql_over_the_facts(lake: Lake, market: Market) -> None:
    put_history(lake)
    found = market.screen("return_20d > 10 -- much", columns="stock_code, return_20d")
    assert found.rows() == [(A, pytest.approx(20.0))]
    assert market.screen("return_20d > 50").is_empty()
    assert market.screen(order_by="stock_code DESC", limit=2)["stock_code"].to_list() == [
        *("247540", "120540")
    ]
    with pytest.raises(ValueError, match=r"the columns are stock_code, .*foreign_net_20d"):
        market.screen("pe < 10")
    for wrong in ("true; DROP TABLE x", "true) OR (true"):
        with pytest.raises(ValueError, match="the columns are"):
            market.screen(wrong)
    assert market.screen("stock_name = 'a;b'").is_empty()


def test_the_universe_of_a_past_day_is_its_own_list(lake: Lake, market: Market) -> None:
    assert market.stocks(TODAY)["stock_code"].to_list() == sorted(listing()["stock_code"])
    assert market.stocks(TODAY).columns == market.stocks().columns
    past = date(2024, 3, 15)
    with pytest.raises(NotStored, match=r"KRX_API_KEY and run: .*krx_daily --date 2024-03-15"):
        market.stocks(past)
    beside = Lake(lake.folder.parent / "krx", source="krx")
    gone = {"trading_day": past, "stock_code": "069420", "stock_name": "떠난회사",
            "market": "KOSPI", "listed_shares": 5, "close": 10}  # fmt: skip
    put(beside, KRX_DAILY, gone)
    rows = market.stocks("2024-03-15")
    assert rows.select("stock_code", "stock_name", "listed_shares").rows() == [
        ("069420", "떠난회사", 5)
    ]
    assert rows.columns == market.stocks().columns


@pytest.mark.parametrize(("small", "sector"), [("전기,전자", "전기,전자"), ("", "제조")])
def test_a_sector_is_no_size_class(lake: Lake, market: Market, small: str, sector: str) -> None:
    """KIS calls the size class the large class of sectors."""
    info = {"info_month": TODAY.replace(day=1), "stock_code": A, "english_name": "Gaon",
            "sector_large_name": "시가총액규모대", "sector_medium_name": "제조",
            "sector_small_name": small, "industry": "반도체 제조업"}  # fmt: skip
    put(lake, STOCK_INFO, info)
    row = market.stocks().row(by_predicate=pl.col("stock_code") == A, named=True)
    assert (row["sector"], row["english_name"]) == (sector, "Gaon")


def test_a_frame_of_all_stocks_says_that_the_delisted_are_missing(
    lake: Lake, market: Market
) -> None:
    put(lake, DAILY_CANDLES, *(based(day, 10, 10) for day in (SESSIONS[0], TODAY)))
    with pytest.warns(SurvivorshipWarning, match="KRX_API_KEY"):
        market.daily_candles(None, SESSIONS[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error", SurvivorshipWarning)
        market.daily_candles(A, SESSIONS[0])
        market.daily_candles(None, TODAY.replace(day=2))


@pytest.mark.parametrize(
    "ask",
    [
        lambda it: it.daily_candles(A, SESSIONS[0]),
        lambda it: it.benchmark(A, SESSIONS[0]),
        lambda it: it.bars("daily_candles", A, SESSIONS[0]),
        lambda it: it.daily_candles(None, SESSIONS[0]),
    ],
)
def test_a_warning_points_at_who_asked(lake: Lake, market: Market, ask: Any) -> None:
    put(lake, DAILY_CANDLES, *(based(day, 10, 10) for day in SESSIONS[-2:]))
    bar = {"index_code": "0001", "close": 1.0}
    put(lake, INDEX_CANDLES, *(bar | {"trading_day": day} for day in SESSIONS[-2:]))
    with pytest.warns(NotStoredWarning) as told:
        ask(market)
    assert {Path(it.filename).name for it in told} == {Path(__file__).name}


def test_facts_are_plain_numbers(market: Market) -> None:
    kinds = {kind.base_type() for kind in market.screen().schema.values()}
    assert kinds == {pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.Date}


def test_statements_can_be_read_as_they_were_known(tmp_path: Path) -> None:
    clock = [datetime(2026, 3, 17, 12, tzinfo=UTC)]
    lake = Lake(tmp_path / "mock", source="mock", clock=lambda: clock[0])
    lake.replace(STOCK_MASTER, Scope.day(TODAY), listing())
    row = {"asked_month": date(2026, 3, 1), "stock_code": A, "fiscal_month": date(2025, 12, 1),
           "period": "annual"}  # fmt: skip
    put(lake, FINANCIAL_STATEMENTS, row | {"revenue": 100})
    then, clock[0] = clock[0], clock[0] + timedelta(days=1)
    put(lake, FINANCIAL_STATEMENTS, row | {"revenue": 101})
    with Market(lake.folder) as market:
        assert market.financial_statements(A)["revenue"].to_list() == [101]
        assert market.financial_statements(A, as_of=then)["revenue"].to_list() == [100]


@pytest.mark.parametrize(
    ("ask", "table"),
    [
        (lambda it: it.index_candles("KOSPI"), INDEX_CANDLES),
        (lambda it: it.market_flows("KOSPI"), MARKET_FLOWS),
        (lambda it: it.investor_flows(A), INVESTOR_FLOWS),
        (lambda it: it.investor_flows(A, wide=True), INVESTOR_FLOWS),
        (lambda it: it.short_sales(A), SHORT_SALES),
        (lambda it: it.valuations(A), VALUATIONS),
        (lambda it: it.financial_statements(A), FINANCIAL_STATEMENTS),
    ],
)
def test_a_table_without_rows_says_what_fetches_it(market: Market, ask: Any, table: Table) -> None:
    with pytest.raises(NotStored, match=f"run: kis-assets run --table {table.name}"):
        ask(market)


JANUARY, MARCH = date(2026, 1, 5), date(2026, 3, 3)
OF_A_YEAR = {
    INDEX_CANDLES: (lambda it, *span: it.index_candles("KOSPI", *span), {"index_code": "0001"}),
    MARKET_FLOWS: (lambda it, *span: it.market_flows("KOSPI", *span), {"market": "KOSPI"}),
}
"""Tables of which a file holds a year, so that it does not tell which months are stored."""


@pytest.mark.parametrize("table", OF_A_YEAR, ids=lambda table: table.name)
def test_a_month_that_is_missing_inside_a_stored_year_is_named(
    lake: Lake, market: Market, table: Table
) -> None:
    ask, row = OF_A_YEAR[table]
    put(lake, table, row | {"trading_day": JANUARY}, row | {"trading_day": MARCH})
    said = f"no {table.name} of 2026-02 are stored; run: kis-assets backfill {table.name} 2026-02"
    with pytest.warns(NotStoredWarning, match=said):
        assert ask(market, "2026-01-02", "2026-03-31").height == 2
    with pytest.raises(NotStored, match=f"no {table.name} of 2026-02 are stored yet"):
        ask(market, "2026-02-02", "2026-02-27")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(market, "2026-03-02").height == 1
        assert ask(market).height == 2


def test_a_benchmark_names_the_months_that_its_index_lacks(lake: Lake, market: Market) -> None:
    bar = {"index_code": "0001", "open": 2600.0, "high": 2700.0, "low": 2500.0, "close": 2600.0}
    put(lake, INDEX_CANDLES, bar | {"trading_day": MARCH}, bar | {"trading_day": TODAY})
    days = (date(2026, 2, 26), date(2026, 2, 27), MARCH, TODAY)
    put(lake, DAILY_CANDLES, *(based(day, 10_000, 10_000) for day in days))
    with pytest.warns(NotStoredWarning, match="no index_candles of 2026-02 are stored"):
        market.benchmark(A, "2026-02-26")


def of_the_page(title: str) -> str:
    """The query of docs/analysts.md under a title."""
    page = (Path(__file__).parents[1] / "docs" / "analysts.md").read_text("utf-8")
    return page.split(f"**{title}", 1)[1].split("```sql\n", 1)[1].split("```", 1)[0]


def test_a_stock_at_its_limit_is_found(lake: Lake, market: Market) -> None:
    at = datetime(2026, 3, 17, 6, 50, tzinfo=UTC)
    same = {"captured_at": at, "trading_day": TODAY, "upper_limit": 13_000, "session": "regular"}
    same |= dict.fromkeys(("open", "high", "low", "volume", "trading_value", "change"), 1)
    same |= {"change_rate": 30.0, "stock_name": "가온"}
    prices = ({"stock_code": A, "price": 13_000}, {"stock_code": B, "price": 12_990})
    rows = frame(PRICE_SNAPSHOTS, *(same | price for price in prices))
    lake.replace(PRICE_SNAPSHOTS, Scope.capture(TODAY, at), rows)
    found = market.sql(of_the_page("Limit-up stocks"))
    assert found["stock_code"].to_list() == [A]


def test_the_queries_of_the_page_give_what_is_worked_out_by_hand(
    lake: Lake, market: Market
) -> None:
    put_history(lake)
    for bars in ((SESSIONS[0], 2_000.0), (TODAY, 2_100.0)):
        day, close = bars
        bar = dict.fromkeys(("open", "high", "low", "close"), close)
        lake.replace(INDEX_CANDLES, Scope.day(day), frame(INDEX_CANDLES, bar | {
            "trading_day": day, "index_code": "0001", "index_name": "종합", "volume": 1,
            "trading_value": 1}))  # fmt: skip
    # 20,000 before a split by two are 10,000; today closes at 12,000; the index rose by 5 %.
    split = market.sql(of_the_page("Return over a split")).row(0)
    assert split == (A, pytest.approx(20.0))
    excess = market.sql(of_the_page("Excess return over KOSPI")).row(0)
    assert excess == (A, pytest.approx(20.0 - 5.0))
    (momentum,) = market.sql(of_the_page("20-day momentum")).select("return_20d").row(0)
    assert momentum == pytest.approx(20.0)


def test_each_of_the_sixteen_questions_is_six_lines_at_most() -> None:
    page = (Path(__file__).parents[1] / "docs" / "analysts.md").read_text("utf-8")
    part = page.split("## Sixteen questions", 1)[1].split("\n## ", 1)[0]
    queries = [block.split("```", 1)[0] for block in part.split("```sql\n")[1:]]
    assert len(queries) == 16
    assert max(len(query.strip().splitlines()) for query in queries) <= 6

"""The replay gives back market data to the last digit, at the right moment and no earlier."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kis_assets.exchange import calendar
from kis_assets.simulator.market.replay import ReplayMarket
from kis_assets.simulator.wire.charts import inquire_daily_itemchartprice
from kis_assets.simulator.wire.masterfiles import LAYOUTS, master_file
from kis_assets.simulator.wire.quotes import inquire_price, intstock_multprice
from kis_assets.simulator.wire.wire import Request

LAST = date(2026, 3, 17)
EVENING = datetime(2026, 3, 17, 19, 0, tzinfo=calendar.SEOUL)


class Clock:
    """A clock one sets."""

    def __init__(self) -> None:
        self.at = EVENING

    def __call__(self) -> datetime:
        return self.at


CLOCK = Clock()


@pytest.fixture(scope="module")
def market(days_folder: Path) -> ReplayMarket:
    return ReplayMarket(days_folder, CLOCK)


@pytest.fixture(scope="module")
def daily(days_folder: Path) -> pl.DataFrame:
    return pl.read_parquet(days_folder / "daily.parquet")


@pytest.fixture(scope="module")
def snapshots(days_folder: Path) -> pl.DataFrame:
    return pl.read_parquet(days_folder / "intraday_snapshots.parquet")


@pytest.fixture(scope="module")
def listing(days_folder: Path) -> pl.DataFrame:
    return pl.read_parquet(days_folder / "listing.parquet")


@pytest.fixture(autouse=True)
def evening() -> None:
    CLOCK.at = EVENING


def at(day: int, hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, second, tzinfo=calendar.SEOUL)


def sweep(market: ReplayMarket, codes: list[str]) -> dict[str, dict[str, str]]:
    """Everything as the thirty-stock call tells it."""
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(codes), 30):
        parameters = {}
        for slot, code in enumerate(codes[start : start + 30], start=1):
            parameters[f"FID_COND_MRKT_DIV_CODE_{slot}"] = "J"
            parameters[f"FID_INPUT_ISCD_{slot}"] = code
        answer = intstock_multprice(Request(market, market.now(), parameters))
        found |= {row["inter_shrn_iscd"]: row for row in answer.payload["output"]}
    return found


def told(row: dict[str, str]) -> dict[str, Any]:
    return {
        "open": int(row["inter2_oprc"]),
        "high": int(row["inter2_hgpr"]),
        "low": int(row["inter2_lwpr"]),
        "close": int(row["inter2_prpr"]),
        "change": int(row["inter2_prdy_vrss"]),
        "change_rate": float(row["prdy_ctrt"]),
        "volume": int(row["acml_vol"]),
        "trading_value": int(row["acml_tr_pbmn"]),
        "name": row["inter_kor_isnm"],
    }


def same(row: dict[str, str], truth: dict[str, Any]) -> None:
    assert told(row) == {name: truth[name] for name in told(row)}, truth["code"]
    change, sign = truth["change"], row["prdy_vrss_sign"]
    assert sign in {True: "12", False: "45"}.get(change > 0, "") if change else sign == "3"
    assert int(row["inter2_sdpr"]) == truth["close"] - change
    assert int(row["inter2_llam"]) <= truth["close"] <= int(row["inter2_mxpr"])


def test_every_final_row_comes_back_to_the_last_digit(
    market: ReplayMarket, daily: pl.DataFrame
) -> None:
    rows = daily.filter(pl.col("date") == LAST).to_dicts()
    answers = sweep(market, [row["code"] for row in rows])
    assert len(answers) == len(rows) > 300
    for row in rows:
        same(answers[row["code"]], row)


def test_a_snapshot_comes_back_over_the_wire_at_its_own_moment(
    market: ReplayMarket, snapshots: pl.DataFrame
) -> None:
    during = [m for m in snapshots["captured_at"].unique().sort().to_list() if m.hour < 15]
    for moment in during[-1:]:
        CLOCK.at = moment
        rows = snapshots.filter(pl.col("captured_at") == moment).to_dicts()
        answers = sweep(market, [row["code"] for row in rows])
        for row in rows:
            same(answers[row["code"]], row)


def test_every_snapshot_and_day_is_the_markets_own_bar(
    market: ReplayMarket, snapshots: pl.DataFrame
) -> None:
    for row in snapshots.filter(pl.col("captured_at").dt.hour() < 15).iter_rows(named=True):
        quote = market.quote(row["code"], row["captured_at"])
        assert quote is not None
        assert (quote.bar.open, quote.bar.high, quote.bar.low, quote.price) == (
            row["open"], row["high"], row["low"], row["close"],
        )  # fmt: skip
        assert (quote.bar.volume, quote.bar.trading_value) == (row["volume"], row["trading_value"])
        assert quote.bar.change == row["change"]
        assert quote.bar.change_rate == round(row["change_rate"] * 100)
        assert quote.bar.listed_shares == row["listed_shares"]
        assert quote.market_cap == row["market_cap"]


def test_a_moment_between_snapshots_shows_the_older_one(market: ReplayMarket) -> None:
    first, again = (market.quote("005930", at(17, 14, minute)) for minute in (13, 40))
    assert first is not None
    assert again is not None
    assert first.bar == again.bar


def test_before_the_first_snapshot_there_is_only_the_previous_close(
    market: ReplayMarket, daily: pl.DataFrame
) -> None:
    closes = daily.filter(pl.col("date") == date(2026, 3, 16)).to_dicts()
    for row in closes:
        quote = market.quote(row["code"], at(17, 9, 30))
        if quote is not None:
            assert quote.price == row["close"]
            assert (quote.bar.open, quote.bar.high, quote.bar.low, quote.bar.volume) == (0, 0, 0, 0)


def test_from_the_close_on_the_final_row_speaks(market: ReplayMarket, daily: pl.DataFrame) -> None:
    truth = daily.row(
        by_predicate=(pl.col("date") == LAST) & (pl.col("code") == "005930"), named=True
    )
    quote = market.quote("005930", at(17, 15, 30))
    assert quote is not None
    assert quote.bar.volume == truth["volume"]


def test_the_daily_chart_holds_every_day_of_the_folder(
    market: ReplayMarket, daily: pl.DataFrame
) -> None:
    days = daily.sort("date", descending=True).partition_by("code", as_dict=True)
    for code, rows in days.items():
        bars = market.bars(str(code[0]), date(2026, 3, 1), LAST)[::-1]
        assert [
            (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars
        ] == rows.select("open", "high", "low", "close", "volume").rows()
    for code, rows in list(days.items())[::8]:
        parameters = {
            "FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": str(code[0]),
            "FID_INPUT_DATE_1": "20260301", "FID_INPUT_DATE_2": "20260331",
            "FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "1",
        }  # fmt: skip
        answer = inquire_daily_itemchartprice(Request(market, market.now(), parameters))
        bars = [row for row in answer.payload["output2"] if row]
        if not bars:
            # Delisted before the last day of the folder: no longer known by then.
            assert rows["date"].max() != LAST
            continue
        for bar, truth in zip(bars, rows.to_dicts(), strict=True):
            assert bar["stck_bsop_date"] == f"{truth['date']:%Y%m%d}"
            assert [int(bar[name]) for name in ("stck_oprc", "stck_hgpr", "stck_lwpr")] == [
                truth["open"], truth["high"], truth["low"],
            ]  # fmt: skip
            assert int(bar["stck_clpr"]) == truth["close"]
            assert int(bar["prdy_vrss"]) == truth["change"]
            assert int(bar["acml_vol"]) == truth["volume"]
            assert int(bar["acml_tr_pbmn"]) == truth["trading_value"]
            assert bar["mod_yn"] == ("Y" if truth["volume"] == 0 else "N")


def test_todays_bar_is_the_snapshot_while_the_session_runs(market: ReplayMarket) -> None:
    CLOCK.at = at(17, 12, 40)
    quote = market.quote("005930", CLOCK.at)
    assert quote is not None
    assert market.bars("005930", date(2026, 3, 9), date(2026, 3, 31))[-1] == quote.bar
    CLOCK.at = at(17, 8, 0)
    assert market.bars("005930", date(2026, 3, 9), date(2026, 3, 31))[-1].day == date(2026, 3, 16)


def test_an_off_tick_close_is_no_action_and_a_reverse_split_is_one(market: ReplayMarket) -> None:
    def bar(code: str, day: int) -> Any:
        return next(b for b in market.bars(code, date(2026, 3, 9), LAST) if b.day.day == day)

    assert (bar("0068Y0", 10).ex_flag, bar("0068Y0", 10).revaluation) == ("00", "")
    assert bar("195990", 12).revaluation == "99"
    assert bar("006800", 16).ex_flag == "01"
    codes = {action.code for action in market.actions(date(2026, 3, 9), LAST)}
    assert {"195990", "006800", "355690", "000640"} <= codes
    assert "0068Y0" not in codes


def test_listed_shares_and_market_value_survive_in_inquire_price(
    market: ReplayMarket, daily: pl.DataFrame
) -> None:
    for row in daily.filter(pl.col("date") == LAST).head(300).to_dicts():
        parameters = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": row["code"]}
        answer = inquire_price(Request(market, market.now(), parameters)).payload["output"]
        assert int(answer["lstn_stcn"]) == row["listed_shares"]
        assert int(answer["hts_avls"]) == row["market_cap"] // 100_000_000
        assert int(answer["lstn_stcn"]) * int(answer["stck_prpr"]) == row["market_cap"]


def master(market: ReplayMarket, exchange: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(
        io.BytesIO(master_file(market, f"{exchange.lower()}_code.mst.zip"))
    ) as file:
        lines = file.read(file.namelist()[0]).splitlines()
    rows: list[dict[str, str]] = []
    for line in lines:
        row, start = {}, 0
        for name, width, _ in LAYOUTS[exchange]:
            row[name] = line[start : start + width].decode("cp949").strip()
            start += width
        rows.append(row)
    return rows


def test_the_master_files_hold_every_stock_of_the_day(
    market: ReplayMarket, daily: pl.DataFrame, listing: pl.DataFrame
) -> None:
    rows = [row for exchange in LAYOUTS for row in master(market, exchange)]
    truth = daily.filter(pl.col("date") == LAST)
    assert {row["mksc_shrn_iscd"] for row in rows} == set(truth["code"])
    listed = {row["mksc_shrn_iscd"]: row for row in rows}
    known = listing.row(by_predicate=pl.col("code") == "005930", named=True)
    assert listed["005930"]["stck_lstn_date"] == known["listing_date"].replace("-", "")
    last = truth.row(by_predicate=pl.col("code") == "005930", named=True)
    assert listed["005930"]["stck_sdpr"] == f"{last['close'] - last['change']:09d}"
    assert listed["00781K"]["prst_cls_code"] == "2"
    assert listed["0011A0"]["scrt_grp_cls_code"] == "ST"
    assert listed["900110"]["scrt_grp_cls_code"] == "FS"
    assert listed["330590"]["scrt_grp_cls_code"] == "RT"
    assert listed["0088D0"]["etpr_undt_objt_co_yn"] == "Y"
    assert listed["063570"]["scrt_grp_cls_code"] == "ST"
    halted = {code for code, row in listed.items() if row["trht_yn"] == "Y"}
    traded = set(daily.filter(pl.col("volume") > 0)["code"])
    assert halted
    assert not halted & traded
    common = [
        row for row in rows
        if row["scrt_grp_cls_code"] == "ST" and row["prst_cls_code"] == "0"
        and row.get("etpr_undt_objt_co_yn") == "N"
    ]  # fmt: skip
    assert len(common) > len(rows) * 0.8


def test_derived_minutes_add_up_to_the_day(market: ReplayMarket, daily: pl.DataFrame) -> None:
    for row in daily.filter((pl.col("date") == LAST) & (pl.col("volume") > 0)).to_dicts()[::25]:
        minutes = market.minutes(row["code"], LAST)
        assert minutes[-1].close == row["close"]
        assert minutes[0].open == row["open"]
        assert max(minute.high for minute in minutes) == row["high"]
        assert min(minute.low for minute in minutes) == row["low"]
        assert sum(minute.volume for minute in minutes) <= row["volume"]


def test_minutes_of_a_running_session_end_where_the_snapshot_was_taken(
    market: ReplayMarket, snapshots: pl.DataFrame
) -> None:
    CLOCK.at = at(17, 12, 0)
    taken_at = snapshots.filter(pl.col("captured_at") <= CLOCK.at)["captured_at"].max()
    minutes = market.minutes("005930", LAST)
    quote = market.quote("005930", CLOCK.at)
    assert quote is not None
    assert minutes[-1].started_at <= taken_at
    assert minutes[-1].close == quote.price


def test_derived_trades_add_up_to_the_minutes_and_end_where_the_clock_stands(
    market: ReplayMarket, daily: pl.DataFrame
) -> None:
    for row in daily.filter((pl.col("date") == LAST) & (pl.col("volume") > 0)).to_dicts()[::50]:
        trades, minutes = market.trades(row["code"], LAST), market.minutes(row["code"], LAST)
        assert sum(trade.quantity for trade in trades) == sum(it.volume for it in minutes)
        assert trades[-1].value == sum(minute.trading_value for minute in minutes)
        assert (trades[-1].high, trades[-1].low) == (row["high"], row["low"])
    CLOCK.at = at(17, 12, 0)
    trades = market.trades("005930", LAST)
    assert trades
    assert trades[-1].at <= CLOCK.at
    assert market.trades("999999", LAST) == []

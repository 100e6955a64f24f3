"""`KIS_STOCK_CODES` that names a stock delisted since: the others go on, and it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from kis_assets.kis.stock_info import STOCK_INFO as ASKED
from kis_assets.lake import quality
from kis_assets.lake.lake import Scope
from kis_assets.simulator.server import services
from kis_assets.simulator.server.faults import When
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import DAILY_CANDLES, MINUTE_CANDLES, PRICE_SNAPSHOTS, STOCK_MASTER, Table
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.in_process import (
    FEW,
    failure,
    in_memory,
    lake,
    materialize,
    metadata,
    point_at,
    rows,
)

pytestmark = pytest.mark.usefixtures("published_when_read")

DAY, MONTH = EVENING.date(), "2026-03-01"
GONE = "999999"
OTHERS = sorted(FEW.split(","))
OF_STOCKS = [
    (PRICE_SNAPSHOTS, str(DAY)),
    (DAILY_CANDLES, MONTH),
    (MINUTE_CANDLES, str(DAY)),
]


@pytest.fixture(autouse=True)
def named(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KIS server, and a list of codes of which one is not listed."""
    point_at(simulator, monkeypatch, KIS_STOCK_CODES=f"{FEW},{GONE}")


def store_master_of(day: date, *more: str) -> None:
    """The stock master of a day, with stocks more that were listed then."""
    materialize("stock_master", str(DAY))
    listed = rows(STOCK_MASTER).filter(pl.col("trading_day") == DAY)
    others = [listed.head(1).with_columns(stock_code=pl.lit(code)) for code in more]
    found = pl.concat([listed, *others]).with_columns(trading_day=pl.lit(day))
    lake().replace(STOCK_MASTER, Scope.day(day), found)


def warnings(run_id: str) -> list[str]:
    return [it.user_message for it in in_memory().all_logs(run_id) if it.level == 30]


@pytest.mark.parametrize(("table", "partition"), OF_STOCKS)
def test_one_that_an_earlier_stock_master_knows_stops_no_other(
    table: Table, partition: str
) -> None:
    store_master_of(date(2026, 2, 27), GONE)
    result = materialize(table.name, partition)
    assert result.success, failure(result)
    assert sorted(rows(table)["stock_code"].unique()) == OTHERS
    (warning,) = [it for it in warnings(result.run_id) if "KIS_STOCK_CODES" in it]
    assert GONE in warning
    assert metadata(result)["delisted"] == GONE
    known = quality.absences(lake(), table, DAY, DAY)
    assert (GONE, "delisted") in known.select("stock_code", "reason").rows()


def test_its_candles_of_a_month_in_which_it_was_listed_are_asked_for() -> None:
    store_master_of(date(2026, 3, 3), GONE)
    result = materialize("daily_candles", MONTH)
    assert result.success, failure(result)
    assert "delisted" not in metadata(result)
    known = quality.absences(lake(), DAILY_CANDLES, DAY, DAY)
    assert (GONE, "delisted") in known.select("stock_code", "reason").rows()


def test_one_that_kis_still_has_facts_of_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    service = services.SERVICES[ASKED.path]

    def answer(request: Any) -> Any:
        asked = request.parameters["PDNO"]
        request.parameters["PDNO"] = "005930"
        given = service.answer(request)
        given.payload["output"]["pdno"] = f"00000A{asked}"
        return given

    monkeypatch.setitem(services.SERVICES, ASKED.path, replace(service, answer=answer))
    result = materialize("price_snapshots", str(DAY))
    assert result.success, failure(result)
    assert sorted(rows(PRICE_SNAPSHOTS)["stock_code"]) == OTHERS


def test_one_of_which_kis_cannot_tell_now_stops_no_other(simulator: Simulator) -> None:
    simulator.faults.down = When(path="search-stock-info")
    assert materialize("price_snapshots", str(DAY)).success


def test_one_that_nobody_knows_is_refused() -> None:
    store_master_of(date(2026, 2, 27))
    for table, partition in OF_STOCKS:
        said = failure(materialize(table.name, partition))
        assert f"KIS_STOCK_CODES names {GONE}, never listed" in said


def test_when_all_are_delisted_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    store_master_of(date(2026, 2, 27), GONE)
    monkeypatch.setenv("KIS_STOCK_CODES", GONE)
    said = failure(materialize("price_snapshots", str(DAY)))
    assert said == "KIS_STOCK_CODES names no stock that is listed on these days"

"""What the code counts a table with is what a server is asked for it."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from kis_assets.exchange import calendar
from kis_assets.lake.lake import Lake
from kis_assets.monitoring.costs import planned, requests_of
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import ETF_NAVS, TABLES, Table, default_tables
from kis_assets_tests.conftest import market_at
from kis_assets_tests.support.in_process import failure, materialize, point_at, rows

CODES = ("005930", "000660", "035720", "247540")
NOON, CLOSED = "2026-11-17 13:00", "2026-11-17 15:45"
EVENING, MORNING = "2026-11-17 20:50", "2026-11-18 07:45"
ASKED_AT = {
    "price_snapshots": CLOSED,
    "order_books": NOON,
    "valuations": CLOSED,
    "daily_candles": EVENING,
    "stock_info": EVENING,
    "financial_statements": EVENING,
}
"""When a table is asked for; the others on the morning after."""
BESIDE = ("tokenP", ".zip")
"""How the paths end of what is asked once for all tables."""
OF_A_FEW = [
    table
    # How many requests minutes take differs from stock to stock.
    for table in TABLES.values()
    if table.cost is not None and table.name != "minute_candles"
]


@pytest.mark.slow
@pytest.mark.parametrize("table", OF_A_FEW, ids=lambda table: table.name)
def test_a_table_costs_what_the_server_counts(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.fromisoformat(ASKED_AT.get(table.name, MORNING))
    moment = moment.replace(tzinfo=calendar.SEOUL)
    simulator = Simulator(market_at(moment), rate_limit=0, token_window=0.0)
    point_at(simulator, monkeypatch, moment, KIS_STOCK_CODES=",".join(CODES))
    result = materialize(table.name, table.partition_key(moment.date()))
    assert result.success, failure(result)
    # Before quotes, one bar tells whether the server's clock stands in the session.
    beside = (*BESIDE, "itemchartprice") if table.live == "quotes" else BESIDE
    counted = [it for it in simulator.log if not it.path.endswith(beside)]
    stocks = rows(table)["stock_code"].n_unique()
    assert stocks == len(CODES) or table is ETF_NAVS
    assert len(counted) == requests_of(table.name, stocks, moment.date(), Settings.load())


def test_a_run_of_the_invented_market_is_foretold_too(tmp_path: Path) -> None:
    settings = Settings.load(data_source_type="mock", kis_data_dir=tmp_path)
    lake = Lake(settings.source_dir, source="mock")
    day = date(2026, 3, 17)

    def told(tables: list[str], **given: Any) -> str:
        return planned(tables, day, settings.model_copy(update=given), lake)

    usually = default_tables("mock")
    line = told(usually)
    assert line.startswith(f"Makes {len(usually)} tables of {day}: market_days, stock_master, ")
    seconds = re.search(r"About (\d+) s: .* of 2,600 stocks", line)
    assert seconds
    assert 60 <= int(seconds[1]) <= 180
    assert "About 6 s: " in told(["stock_master", "price_snapshots", "index_candles"],
                                 kis_stock_codes=("005930",))  # fmt: skip
    assert told(["market_days"]) == (
        f"Makes 1 table of {day}: market_days. About 2 s: this machine invents the market of "
        "2,600 stocks."
    )


def test_of_kis_the_time_is_told_with_its_reason_alone(settings: Settings) -> None:
    lake = Lake(settings.source_dir, source="kis")
    assert planned(["market_days"], date(2026, 3, 17), settings, lake).endswith("market_days.")

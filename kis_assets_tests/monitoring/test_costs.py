"""What the code counts a table with is what a server is asked for it."""

from __future__ import annotations

from datetime import datetime

import pytest

from kis_assets.exchange import calendar
from kis_assets.monitoring.costs import requests_of
from kis_assets.settings import Settings
from kis_assets.simulator.server.server import Simulator
from kis_assets.tables import ETF_NAVS, TABLES, Table
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

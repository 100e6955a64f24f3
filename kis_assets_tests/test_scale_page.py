"""The arithmetic of docs/scale.md, done again with what the code counts with."""

from __future__ import annotations

from datetime import date
from math import ceil
from pathlib import Path

import pytest

from kis_assets.defs.orphans import KEYS_A_RUN
from kis_assets.kis.stream_registrations import REGISTRATIONS
from kis_assets.monitoring.costs import COMPARED, duration, requests_of
from kis_assets.settings import Settings
from kis_assets.tables import TABLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
DAY = date(2026, 10, 1)
KEYS = (1, 5, 50)
COMMON, FUNDS, EVERYTHING, NXT = 2_500, 1_000, 4_300, 800
YEAR = TABLES["minute_candles"].sessions_kept
"""Sessions of a year, as KIS keeps minutes."""

EVENING = ("price_snapshots", "daily_candles", "minute_candles")
MORNING = (
    *("daily_candles", "investor_flows", "program_trades", "short_sales", "stock_loans"),
    *("credit_balances", "etf_navs", "stock_info"),
)


def settings() -> Settings:
    return Settings.load(
        data_source_type="kis",
        kis_app_key="k" * 36,
        kis_app_secret="secret",
        kis_use_virtual_server=False,
    )


def of(tables: tuple[str, ...], stocks: int, funds: int) -> int:
    numbers = {name: funds if TABLES[name].rows_of == "ETFs" else stocks for name in tables}
    return sum(requests_of(name, number, DAY, settings()) for name, number in numbers.items())


def a_year_back(stocks: int, funds: int) -> int:
    """Without minutes: one answer holds some days, and each month of candles is compared."""
    names = [name for name in MORNING if name not in ("daily_candles", "stock_info")]
    costs = {name: TABLES[name].cost for name in names}
    found = ceil(YEAR / 100) * stocks + 12 * COMPARED
    for name, cost in costs.items():
        assert cost is not None
        found += ceil(YEAR / cost.days) * (funds if TABLES[name].rows_of == "ETFs" else stocks)
    return found


def minutes(stocks: int) -> int:
    return YEAR * requests_of("minute_candles", stocks, DAY, settings())


@pytest.mark.parametrize(
    ("what", "requests"),
    [
        ("an evening, common shares", of(EVENING, COMMON, FUNDS)),
        ("an evening, all listed products", of(EVENING, EVERYTHING, FUNDS)),
        ("the same with NXT", of(EVENING, EVERYTHING, FUNDS) + of(EVENING, NXT, 0)),
        ("a morning, common shares and funds", of(MORNING, COMMON, FUNDS)),
        ("an order book of each common share", of(("order_books",), COMMON, 0)),
        ("a year back without minutes", a_year_back(COMMON, FUNDS)),
        ("a year back of minutes", minutes(COMMON)),
    ],
)
def test_requests_and_times_of_so_many_keys(what: str, requests: int) -> None:
    rate = settings().rate_limit
    times = [duration(requests / rate / keys) for keys in KEYS]
    assert f"| {what} | {requests:,} | {' | '.join(times)} |" in PAGE


def test_registrations_of_so_many_keys() -> None:
    trades, books = REGISTRATIONS, REGISTRATIONS // 2
    for what, each in (("trades of so many stocks", trades), ("trades and books", books)):
        numbers = " | ".join(f"{each * keys:,}" for keys in KEYS)
        assert f"| {what} | {numbers} |" in PAGE


def test_runs_that_the_pools_let_in() -> None:
    numbers = " | ".join(str(ceil(keys / KEYS_A_RUN)) for keys in KEYS)
    assert f"| runs that ask at a time, of each pool | {numbers} |" in PAGE


def test_the_page_for_operators_counts_the_same() -> None:
    page = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| minute_candles | 20:40"))
    assert f"{requests_of('minute_candles', COMMON, DAY, settings()):,}" in row
    assert f"{minutes(COMMON) / 1e6:.1f} million" in row

"""Each hint of `Market` names the command that stores what is missing: here they are followed."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from kis_assets import Market, NotStored
from kis_assets.cli import app
from kis_assets_tests.support.in_process import FEW

CODE, FUND = "005930", "069500"
FIRST: list[tuple[Callable[[Market], Any], str]] = [
    (lambda it: it.prices(), "kis-assets run"),
    (lambda it: it.daily_candles(CODE), "kis-assets run"),
    (lambda it: it.weekly_candles(CODE, adjusted=True), "kis-assets run"),
    (lambda it: it.stocks(), "kis-assets run --table stock_master"),
    (lambda it: it.screen(), "kis-assets run"),
    (lambda it: it.minutes(CODE, None), "kis-assets run --table minute_candles"),
    (lambda it: it.minutes(CODE, None, every=7), "kis-assets run --table minute_candles"),
    (lambda it: it.order_books(CODE), "kis-assets run --table order_books"),
    (lambda it: it.valuations(CODE), "kis-assets run --table valuations"),
    (lambda it: it.index_candles("KOSPI"), "kis-assets run --table index_candles"),
    (lambda it: it.market_flows("KOSPI"), "kis-assets run --table market_flows"),
    (lambda it: it.investor_flows(CODE), "kis-assets run --table investor_flows"),
    (lambda it: it.investor_flows(CODE, wide=True), "kis-assets run --table investor_flows"),
    (lambda it: it.program_trades(CODE), "kis-assets run --table program_trades"),
    (lambda it: it.stock_loans(CODE), "kis-assets run --table stock_loans"),
    (lambda it: it.financial_statements(CODE), "kis-assets run --table financial_statements"),
]
"""What can be asked, and what to do before the first run of all."""


@pytest.mark.parametrize(("ask", "command"), FIRST)
def test_before_the_first_run_a_hint_names_what_stores_the_table_asked_for(
    ask: Callable[[Market], Any], command: str
) -> None:
    with Market() as market, pytest.raises(NotStored) as said:
        ask(market)
    assert str(said.value).startswith("nothing is stored in ")
    assert str(said.value).endswith(f"run: {command}")


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_terminal")
def test_who_follows_the_hints_has_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the mock market, in a session; each question is asked of what the ones before left."""
    monkeypatch.setenv("DATA_SOURCE_TYPE", "mock")
    monkeypatch.setenv("KIS_REPLAY_AT", "2026-03-17T10:30:00+09:00")
    monkeypatch.setenv("KIS_STOCK_CODES", FEW)
    followed: list[str] = []
    for ask, _ in FIRST[::-1]:
        for _ in range(3):
            with Market() as market, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    assert not ask(market).is_empty()
                    break
                except NotStored as missing:
                    command = re.search(r"run: kis-assets (.+)$", str(missing))
                    assert command, missing
            assert command[1] not in followed, f"{command[1]} did not help"
            followed.append(command[1])
            ran = CliRunner().invoke(app, shlex.split(command[1]))
            assert ran.exit_code == 0, f"{command[1]}\n{ran.output}"
        else:
            pytest.fail(f"three hints were followed in vain: {followed[-3:]}")
    assert len(followed) >= 10

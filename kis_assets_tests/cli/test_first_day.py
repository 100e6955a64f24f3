"""The first day with a key: what it takes is said before, and what cannot be had stops nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from kis_assets.cli import app
from kis_assets.cli.common import quieten
from kis_assets.cli.progress import Bar
from kis_assets.defs import materialization, universe
from kis_assets.defs.resources import KISResource, open_lake
from kis_assets.errors import KISError, RateLimited
from kis_assets.exchange import calendar
from kis_assets.execution.runner import Outcome
from kis_assets.kis.client import Client
from kis_assets.kis.error_codes import policy
from kis_assets.kis.quotes import PRICE
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.universe import wanted
from kis_assets.monitoring import costs
from kis_assets.settings import Settings, SettingsError, Universe
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server.http import InProcessTransport, serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis_tables import KISTables
from kis_assets.tables import DAILY_CANDLES, PRICE_SNAPSHOTS, STOCK_MASTER
from kis_assets.transport.fan_out import each
from kis_assets_tests.conftest import APP_KEY, APP_SECRET, EVENING, Clock
from kis_assets_tests.kis.test_token import opened
from kis_assets_tests.support.in_process import checks, materialize, point_at, rows

DAY = EVENING.date()
USUAL = ("market_days", "stock_master", "price_snapshots", "daily_candles")
KEYS = {"KIS_APP_KEY": APP_KEY, "KIS_APP_SECRET": APP_SECRET}


def virtual(**more: Any) -> Settings:
    return Settings.load(kis_app_key=APP_KEY, kis_app_secret=APP_SECRET, **more)


def real(**more: Any) -> Settings:
    return virtual(kis_use_virtual_server=False, **more)


@contextmanager
def day_server(market: ModelMarket, environment: Any = "virtual") -> Iterator[Simulator]:
    yield Simulator(market, environment=environment, rate_limit=0, token_window=0.0)


# Which stocks


def test_the_virtual_server_begins_with_the_hundred_most_traded_unless_told_otherwise() -> None:
    assert virtual().universe == Universe(("common",), 100)
    assert virtual(kis_universe="common").universe == Universe(("common",), None)
    assert virtual(kis_universe="common, etf, top300").universe == Universe(("common", "etf"), 300)
    assert virtual(kis_universe="top20").universe == Universe(("common",), 20)
    assert real().universe == Universe(("common",), None)
    assert Settings.load(data_source_type="mock").universe == Universe(("common",), None)


@pytest.mark.parametrize("words", ["top", "top0", "top-5", "top100,top300", "topmost"])
def test_a_word_of_another_kind_is_refused(words: str) -> None:
    with pytest.raises(SettingsError, match="one word such as top100"):
        virtual(kis_universe=words)


@pytest.fixture
def kis_lake(market: ModelMarket, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A virtual server's settings, and the stock master of a day in their lake."""
    with day_server(market) as server:
        point_at(server, monkeypatch, KIS_STOCK_CODES="")
        assert materialize("stock_master", DAY.isoformat()).success
    return open_lake(Settings.load())


def test_the_most_traded_are_those_of_the_session_before_by_value(kis_lake: Lake) -> None:
    settings = Settings.load(kis_universe="top5")
    master = rows(STOCK_MASTER)
    chosen = master.filter(wanted(settings, kis_lake))
    value = pl.col("base_price") * pl.col("previous_volume")
    common = master.filter(pl.col("security_type") == "common", pl.col("market") != "KONEX")
    assert chosen.height == 5
    least = chosen.select(value.min()).item()
    assert common.filter(value > least).height == 4


def test_the_most_traded_stay_the_same_from_day_to_day(kis_lake: Lake) -> None:
    settings = Settings.load(kis_universe="top5")
    first = rows(STOCK_MASTER)
    before = first.filter(wanted(settings, kis_lake))["stock_code"]
    later = calendar.next_trading_day(DAY)
    turned = first.with_columns(
        trading_day=pl.lit(later), previous_volume=10**9 // pl.col("previous_volume").clip(1)
    )
    kis_lake.replace(STOCK_MASTER, Scope.day(later), turned)
    assert turned.filter(wanted(settings, kis_lake))["stock_code"].equals(before)


def test_only_they_are_asked_for_and_the_checks_know(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with day_server(market) as server:
        point_at(server, monkeypatch, KIS_STOCK_CODES="", KIS_UNIVERSE="top7")
        assert materialize("stock_master", DAY.isoformat()).success
        result = materialize("price_snapshots", DAY.isoformat())
        assert server.calls("/inquire-price") == 7
    assert result.success
    assert checks(result)["universe_is_covered"]
    assert rows(PRICE_SNAPSHOTS).height == 7


def test_they_are_chosen_where_no_stock_master_is_stored_yet(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with day_server(market) as server:
        point_at(server, monkeypatch, KIS_STOCK_CODES="", KIS_UNIVERSE="top3")
        assert universe.of_day(KISResource(), open_lake(Settings.load()), DAY).height == 3


# How long


def test_a_long_run_is_foretold_with_its_reason() -> None:
    # 2,600 prices and 2,600 charts one by one, and a hundred of each compared.
    assert costs.estimate(USUAL, 2_600, DAY, virtual(kis_universe="common")) == (
        "about 1 h 30 min: 5,400 requests for 2,600 stocks, and the virtual server takes 1 a second"
    )
    assert costs.estimate(USUAL, 100, DAY, virtual()).startswith("about 7 min: 400 requests")
    # 87 of thirty prices, 2,600 charts and 200 compared.
    assert costs.estimate(USUAL, 2_600, DAY, real()).startswith("about 3 min: 2,887 requests")
    assert "KIS grants" not in costs.estimate(USUAL, 2_600, DAY, real())


def test_a_short_run_is_not() -> None:
    assert costs.estimate(USUAL, 500, DAY, real()) == ""
    assert costs.estimate(USUAL, 50, DAY, Settings.load(data_source_type="mock")) == ""
    assert costs.estimate(("market_days", "stock_master"), 2_600, DAY, virtual()) == ""


def test_it_counts_with_what_kis_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "granted", lambda _: 3.0)
    said = costs.estimate(("daily_candles",), 2_600, DAY, real())
    assert said == "about 15 min: 2,700 requests for 2,600 stocks, and KIS grants 3 a second"


def test_minutes_since_the_after_market_cost_more() -> None:
    before, since = date(2026, 9, 11), date(2026, 9, 14)
    at = {day: costs.requests_of("minute_candles", 1_000, day, real()) for day in (before, since)}
    assert at == {before: 2_600, since: 3_900}


def test_the_log_of_a_long_run_says_how_long_before_it_asks(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "LONG", 0.001)
    said: list[str] = []
    with day_server(market) as server:
        point_at(server, monkeypatch)
        materialization.log_estimate(
            _Context(said),  # type: ignore[arg-type]
            KISResource(),
            PRICE_SNAPSHOTS,
            pl.DataFrame({"stock_code": ["005930"] * 30}),
        )
    assert said == [
        "price_snapshots takes about 1 s: 60 requests for 30 stocks, and the virtual server takes "
        "1000 a second"
    ]


class _Context:
    partition_key = DAY.isoformat()

    def __init__(self, said: list[str]) -> None:
        self.log = self
        self.info = said.append


# The whole command


def type_run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["run", *words])
    return result.exit_code, result.output


@pytest.mark.slow
def test_a_first_run_on_the_virtual_server_says_what_it_leaves_out_and_how_long_it_takes(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch, narrow_terminal: None
) -> None:
    monkeypatch.setattr("kis_assets.settings.settings.MOST_TRADED", 3)
    monkeypatch.setattr(costs, "LONG", 0.001)
    with day_server(market) as server:
        point_at(server, monkeypatch, KIS_STOCK_CODES="")
        status, said = type_run()
    assert status == 0, said
    assert "this begins with the 3 stocks traded most. KIS_UNIVERSE=common has all 2,6" in said
    assert "This takes about 1 s: 12 requests for 3 stocks, and" in said
    # Said before anything is asked for stock by stock.
    assert said.index("This takes") < said.index("price_snapshots 2026-03-17")
    assert "price_snapshots checks" in said
    assert rows(PRICE_SNAPSHOTS).height == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hour", "left_out"),
    [(2, ["price_snapshots"]), (8, ["stock_master", "price_snapshots"])],
)
def test_between_midnight_and_the_open_a_run_ends_well(
    market: ModelMarket,
    monkeypatch: pytest.MonkeyPatch,
    narrow_terminal: None,
    hour: int,
    left_out: list[str],
) -> None:
    morning = datetime(2026, 3, 18, hour, 10, tzinfo=calendar.SEOUL)
    with day_server(market, "real") as server:
        point_at(server, monkeypatch, morning)
        status, said = type_run()
    assert status == 0, said
    assert "Done" in said
    assert [word for word in USUAL if f"{word} is left out" in said] == [*left_out]
    assert "fetch 2026-03-18 after the open" in " ".join(said.split())
    assert not rows(DAILY_CANDLES).is_empty()
    # What is asked for by name is not left out silently.
    with day_server(market, "real") as server:
        point_at(server, monkeypatch, morning)
        status, said = type_run("--table", "price_snapshots")
    assert status == 1
    assert "no longer available" in said


@pytest.mark.slow
def test_an_interrupted_run_says_where_and_its_bar_stays_there(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch, narrow_terminal: None
) -> None:
    def interrupted(*_: Any, progress: Any = None, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(KISTables, "daily_candles", interrupted)
    with day_server(market, "real") as server:
        point_at(server, monkeypatch)
        status, said = type_run()
    assert status == 130
    assert "Interrupted at daily_candles. Stored rows stay" in said
    assert re.search(r"daily_candles 2026-03-01 [━ ]*0/\?", said)
    assert "Traceback" not in said


# The bar


def bar_of(draw: Any) -> str:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    settings = Settings.load(data_source_type="mock")
    with Bar(console, settings, USUAL, DAY) as bar:
        draw(bar)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_bar_of_what_failed_stays_where_it_came_to() -> None:
    def draw(bar: Bar) -> None:
        bar.start("price_snapshots", "2026-03-17")
        bar.advance(3, 10, "005930")
        bar.ended(Outcome("price_snapshots", "2026-03-17", error="the line broke"))
        bar.start("daily_candles", "2026-03-01")
        bar.advance(7, 10, "005930")
        bar.ended(Outcome("daily_candles", "2026-03-01"))

    shown = bar_of(draw)
    assert "3/10" in shown
    assert "7/10" not in shown and "10/10" in shown


def test_checks_that_ask_have_a_bar_of_their_own() -> None:
    def draw(bar: Bar) -> None:
        bar.start("price_snapshots", "2026-03-17")
        for done in (1, 2):
            bar.advance(done, 2, "005930")
        bar.advance(1, 2, "005930")
        bar.ended(Outcome("price_snapshots", "2026-03-17"))

    shown = bar_of(draw)
    assert "price_snapshots 2026-03-17" in shown
    assert "price_snapshots checks" in shown


def test_every_line_of_the_bar_fits_eighty_columns() -> None:
    def draw(bar: Bar) -> None:
        bar.start("price_snapshots", "2026-03-17")
        bar.advance(1_234, 2_616, "005930")

    assert max(map(len, bar_of(draw).splitlines())) <= 80


# A past that never was


def test_a_backfill_from_before_there_was_anything_says_from_when(narrow_terminal: None) -> None:
    result = CliRunner().invoke(
        app,
        ["backfill", "daily_candles", "1900-01", "2026-02", "--dry-run"],
        env={"DATA_SOURCE_TYPE": "mock"},
    )
    assert result.exit_code == 2
    assert "1900-01 is before 1995-05, the first month of daily candles" in result.output


# Keys


@pytest.mark.parametrize("code", ["EGW00103", "EGW00105", "EGW02004", "EGW00205", "EGW00206"])
@pytest.mark.parametrize(
    ("server", "told"),
    [("virtual", "KIS_USE_VIRTUAL_SERVER=false"), ("real", "KIS_USE_VIRTUAL_SERVER=true")],
)
def test_a_refused_key_may_belong_to_the_other_server(code: str, server: str, told: str) -> None:
    said = policy(code, 403).explain("유효하지 않은 AppKey입니다.", server)
    other = {"real": "virtual", "virtual": "real"}[server]
    assert f"may be of the {other} server ({told}" in said
    assert f"this is the {server} one" in said


@pytest.mark.parametrize(
    "words",
    [["doctor"], ["quote", "005930"], pytest.param(["run"], marks=pytest.mark.slow)],
)
def test_every_command_says_so_of_a_wrong_key(
    market: ModelMarket, monkeypatch: pytest.MonkeyPatch, narrow_terminal: None, words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    with serve(Simulator(market, environment="virtual", app_keys={"another": "x"})) as url:
        for name in ("KIS_API_BASE_URL_VIRTUAL", "KIS_MASTER_BASE_URL"):
            monkeypatch.setenv(name, url)
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, [*words])
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert "the key may be of the real server (KIS_USE_VIRTUAL_SERVER=false asks that one" in said
    assert "not active yet" in said
    assert "Traceback" not in said


def test_waiting_for_a_token_is_said_even_where_commands_are_quiet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, narrow_terminal: None
) -> None:
    quieten()
    clock = Clock()
    answers = iter([RateLimited("once a minute"), {"access_token": "one", "expires_in": 86400}])

    def issue() -> dict[str, Any]:
        answer = next(answers)
        if isinstance(answer, RateLimited):
            raise answer
        return answer

    assert opened(tmp_path, issue, clock).get() == "one"
    assert [it.message for it in caplog.records] == [
        "waiting 61 s for a token: KIS issues one a minute per key, and this program or another "
        "has just requested one"
    ]


def test_what_is_missing_of_a_credential_is_named() -> None:
    with pytest.raises(SettingsError, match="KIS_APP_SECRET is empty, and KIS_APP_KEY is set"):
        Settings.load(kis_app_key=APP_KEY)
    with pytest.raises(SettingsError, match="KIS_APP_KEY is empty, and KIS_APP_SECRET is set"):
        Settings.load(kis_app_secret=APP_SECRET)


def test_a_key_that_stands_twice_is_refused_without_being_shown() -> None:
    """Its two tokens would be asked for within a minute, which KIS refuses."""
    twice = f"{APP_KEY},{APP_KEY}"
    with pytest.raises(SettingsError, match="KIS_APP_KEY holds one key twice") as told:
        Settings.load(kis_app_key=twice, kis_app_secret=f"{APP_SECRET},{APP_SECRET}")
    assert APP_KEY not in str(told.value)


@pytest.mark.parametrize("quote", ["\u201c", '"', "\uff33"])
def test_a_credential_with_a_letter_that_is_in_none_is_refused_without_being_shown(
    quote: str,
) -> None:
    with pytest.raises(SettingsError, match=r"KIS_APP_KEY: contains .*copy it again") as told:
        Settings.load(kis_app_key=f"{quote}{APP_KEY}", kis_app_secret=APP_SECRET)
    assert APP_KEY not in str(told.value)


# Ctrl-C


def test_an_interrupted_fetch_waits_for_nothing_that_stands_in_the_queue() -> None:
    """At one request a second those in the queue take half a minute."""
    asked, released = [], threading.Event()

    def ask(number: int) -> int:
        asked.append(number)
        if number:
            released.wait(60)
        return number

    def take(_number: int, _answer: int) -> None:
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            each(range(100), ask, take, workers=2)
        assert len(asked) <= 4
    finally:
        released.set()


def test_whoever_waits_for_a_permit_is_told_when_the_source_is_closed(
    settings: Settings, market: ModelMarket
) -> None:
    slow = settings.model_copy(update={"kis_api_rate_limit": 0.02})
    server = Simulator(market, rate_limit=0, token_window=0.0)
    client = Client(slow, transport=InProcessTransport(server))
    client.ask(PRICE, {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}, dict)
    told: list[KISError] = []

    def ask_again() -> None:
        try:
            client.asking(patience=600).ask(PRICE, {}, dict)
        except KISError as error:
            told.append(error)

    waiting = threading.Thread(target=ask_again)
    waiting.start()
    client.close()
    waiting.join(30)
    assert "closed meanwhile" in str(told[0])


@pytest.mark.slow
@pytest.mark.parametrize("words", ["metrics --port 0", "simulate --port 0", "run"])
def test_one_interrupt_ends_a_command_without_a_trace(
    market: ModelMarket, tmp_path: Path, words: str
) -> None:
    virtual = Simulator(market, environment="virtual", token_window=0.0)
    with serve(virtual) as url:
        environment = os.environ | KEYS | {"KIS_API_BASE_URL_VIRTUAL": url}
        environment |= {"KIS_MASTER_BASE_URL": url, "KIS_REPLAY_AT": EVENING.isoformat()}
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "kis_assets.cli", *words.split()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "http://127.0.0.1" in line or "This takes" in line:
                break
        if words == "run":
            wait_until(lambda: virtual.calls("/inquire-price") > 2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        try:
            said += process.communicate(timeout=15)[0]
        finally:
            process.kill()
    assert process.returncode in (130, -signal.SIGINT), said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said


def wait_until(is_so: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < 60
        time.sleep(0.05)

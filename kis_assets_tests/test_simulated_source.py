"""Rows of a server that is not KIS's own never share a folder, a name or a token with KIS's."""

from __future__ import annotations

import socket
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from kis_assets import Market
from kis_assets.cli import app
from kis_assets.exchange import venues
from kis_assets.exchange.venues import Venue
from kis_assets.security import hosts
from kis_assets.settings import Settings
from kis_assets.simulator.server.http import serve
from kis_assets.simulator.server.server import Simulator
from kis_assets.sources.kis import KISDataSource
from kis_assets.state.shared import open_state
from kis_assets_tests.support.in_process import set_source

HERE = "http://127.0.0.1:9443"
KEYS = {"data_source_type": "kis", "kis_app_key": "k" * 36, "kis_app_secret": "s" * 180}


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.0.1.", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0", "0"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:0.0.0.0]"),
        *("localhost", "LocalHost.", "foo.localhost", "localhost.localdomain", "ip6-localhost"),
        *("ip6-loopback", "box", "BOX", "box.corp", "box.local"),
    ],
)
@pytest.mark.parametrize(
    "name", ["kis_api_base_url_virtual", "kis_ws_url_virtual", "kis_master_base_url"]
)
def test_whatever_this_machine_serves_is_called_simulated(
    monkeypatch: pytest.MonkeyPatch, name: str, host: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Box.corp")
    for check in ("check_credentials", "check_host"):
        monkeypatch.setattr(hosts, check, lambda *_: None)
    address = f"{'ws' if '_ws_' in name else 'http'}://{host}:9443"
    settings = Settings.load(**KEYS, **{name: address})
    assert (settings.source_type, settings.source_name) == ("kis", "simulated_kis")
    assert settings.source_dir == Path("data/simulated_kis").absolute()


@pytest.mark.parametrize(
    "host",
    [
        *(
            "new.real.download.dws.co.kr",
            "8.8.8.8",
            "128.0.0.1",
            "[::ffff:8.8.8.8]",
            "[2001:db8::1]",
        ),
        *("127.0.0.1.example", "localhost.example", "notlocalhost", "box.example", "my.box.corp"),
    ],
)
def test_what_another_machine_serves_is_not(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "box.corp")
    monkeypatch.setattr(hosts, "check_host", lambda *_: None)
    assert Settings.load(**KEYS, kis_master_base_url=f"https://{host}").source_name == "kis"


def test_a_machine_without_a_name_is_not_every_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "")
    assert Settings.load(**KEYS).source_name == "kis"


def test_naming_this_machine_as_trusted_makes_it_no_kis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_TRUSTED_HOSTS", "127.0.0.1,localhost")
    assert Settings.load(**KEYS, kis_api_base_url_virtual=HERE).source_name == "simulated_kis"


def test_a_gateway_that_the_user_names_is_kis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIS_TRUSTED_HOSTS", "gateway.example.com")
    settings = Settings.load(**KEYS, kis_api_base_url_virtual="https://gateway.example.com")
    assert settings.source_name == "kis"


@pytest.mark.parametrize(
    ("server", "name"), [("virtual", "simulated_kis"), ("real", "kis")], ids=["in use", "unused"]
)
def test_only_the_server_in_use_names_the_source(server: str, name: str) -> None:
    settings = Settings.load(
        **KEYS, kis_use_virtual_server=server == "virtual", kis_api_base_url_virtual=HERE
    )
    assert settings.source_name == name


def test_so_is_what_stands_in_for_krx() -> None:
    given = {"data_source_type": "krx", "krx_api_key": "K" * 40}
    assert Settings.load(**given).source_name == "krx"
    assert Settings.load(**given, krx_api_base_url=HERE).source_name == "simulated_krx"


def test_a_venue_keeps_its_word() -> None:
    settings = Settings.load(**KEYS, kis_api_base_url_virtual=HERE, kis_venue="nxt")
    assert settings.source_name == "simulated_kis-nxt"


def test_the_mock_market_asks_no_server() -> None:
    settings = Settings.load(data_source_type="mock", kis_api_base_url_virtual=HERE)
    assert settings.source_name == "mock"


def test_token_quota_and_breaker_are_apart_too() -> None:
    settings = Settings.load(**KEYS, kis_api_base_url_virtual=HERE, kis_venue="nxt")
    assert settings.state_dir == Path("data/simulated_kis/state").absolute()
    assert open_state(settings).where == str(settings.state_dir)
    assert Settings.load(**KEYS).state_dir == Path("data/kis/state").absolute()


def test_rows_say_it_themselves(simulator: Simulator, settings: Settings) -> None:
    here = {"kis_api_base_url_real": HERE, "kis_master_base_url": HERE}
    with KISDataSource(settings.model_copy(update=here)) as source:
        assert source.name == source.tables.name == "simulated_kis"


@pytest.mark.parametrize(
    ("source", "beside"),
    [("kis", "krx"), ("kis-nxt", "krx"), ("mock", "krx"), ("simulated_kis-nxt", "simulated_krx")],
)
def test_krx_beside_it_is_of_its_own_kind(source: str, beside: str) -> None:
    assert venues.krx_beside(source) == beside


def test_what_is_invented_is_told_by_its_name() -> None:
    invented = [
        Venue.NXT.named(source)
        for source in ("mock", "simulated_kis", "simulated_krx", "kis", "krx")
        if venues.is_invented(Venue.NXT.named(source))
    ]
    assert invented == ["mock-nxt", "simulated_kis-nxt", "simulated_krx-nxt"]
    rows = pl.DataFrame({"source": ["kis", "simulated_kis", "mock-nxt"]})
    assert list(map(venues.is_invented, rows["source"])) == [False, True, True]


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_terminal")
def test_run_status_and_market_agree_on_the_folder(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(simulator) as url:
        set_source(url, monkeypatch)
        ran = CliRunner().invoke(app, ["run", "--table", "stock_master"])
    assert ran.exit_code == 0, ran.output
    assert "SIMULATED" in ran.output
    assert "data/simulated_kis/parquet" in ran.output.replace("\n", "")
    assert not Path("data/kis").exists()
    with Market() as market:
        assert market.folder == Path("data/simulated_kis").absolute()
        stored = market.sql("SELECT DISTINCT source FROM stock_master")
    assert stored["source"].to_list() == ["simulated_kis"]
    asked = CliRunner().invoke(app, ["sql", "SELECT count(*) AS n FROM stock_master"])
    assert asked.exit_code == 0, asked.output
    told = CliRunner().invoke(app, ["status"])
    assert "simulated_kis" in told.output

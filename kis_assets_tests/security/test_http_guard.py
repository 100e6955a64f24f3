"""Which requests a server of this project answers; the whole UI behind its door: `test_ui.py`."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from typer.testing import CliRunner

from kis_assets.cli import app as commands
from kis_assets.monitoring.metrics import serve_metrics
from kis_assets.security.http_guard import Door
from kis_assets.settings import Settings
from kis_assets.simulator.market.model import ModelMarket
from kis_assets.simulator.server import command
from kis_assets.simulator.server.http import create_app
from kis_assets.simulator.server.server import Simulator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette prefers another client to httpx
    from starlette.testclient import TestClient

HERE = "http://127.0.0.1:3000"
MUTATION = "mutation { reloadWorkspace { __typename } }"
JSON = {"content-type": "application/json"}
FROM_ELSEWHERE: dict[str, dict[str, str]] = {
    "another site": {"origin": "http://page.example"},
    "a page without an address": {"origin": "null"},
    "another port of this machine": {"origin": "http://127.0.0.1:8888"},
    "a site whose name begins as ours": {"origin": "http://127.0.0.1:3000.page.example"},
    "what a page embeds": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    "a page of this machine": {"sec-fetch-site": "same-site"},
    "a frame": {
        **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        "sec-fetch-dest": "iframe",
    },
    "a name turned to this machine": {"host": "page.example:3000"},
    "that name as its own origin": {"host": "page.example", "origin": "http://page.example"},
    "a name that ends as ours": {"host": "page.127.0.0.1"},
    "a user before the name": {"host": "127.0.0.1@page.example"},
    "an address of the network": {"host": "192.168.0.2:3000"},
    "no name": {"host": ""},
}
AT_HOME: dict[str, dict[str, str]] = {
    "a program": {},
    "the page itself": {"origin": HERE, "sec-fetch-site": "same-origin"},
    "an address typed": {"sec-fetch-site": "none"},
    "by name": {"host": "localhost:3000", "origin": "http://localhost:3000"},
    "by IPv6": {"host": "[::1]:3000", "origin": "http://[::1]:3000"},
    "a tunnel at another port": {"host": "localhost:8000", "origin": "http://localhost:8000"},
    "a proxy": {"host": "data.example.com", "origin": "https://data.example.com"},
    "a proxy that gives its own name": {"origin": "https://data.example.com"},
    "a proxy at an unusual port": {
        **{"host": "data.example.com:8443", "origin": "https://data.example.com:8443"},
    },
}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.fixture
def door() -> TestClient:
    """A door before a server that answers everything."""

    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("inside")

    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    routes = [
        WebSocketRoute("/graphql", feed),
        Route("/{path:path}", page, methods=["GET", "POST"]),
    ]
    allowed = ["Data.example.com", "data.example.com:8443"]
    return TestClient(Door(Starlette(routes=routes), allowed), HERE)


def feed_of(door: TestClient, headers: dict[str, str]) -> Any:
    return door.websocket_connect("/graphql", headers={"host": "127.0.0.1:3000"} | headers)


@pytest.mark.parametrize("headers", FROM_ELSEWHERE.values(), ids=FROM_ELSEWHERE)
def test_other_sites_are_refused(door: TestClient, headers: dict[str, str]) -> None:
    assert door.post("/graphql", headers=JSON | headers).status_code == 403
    assert door.get("/runs", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), feed_of(door, headers):
        pass


@pytest.mark.parametrize("headers", AT_HOME.values(), ids=AT_HOME)
def test_people_and_programs_are_answered(door: TestClient, headers: dict[str, str]) -> None:
    assert door.post("/graphql", headers=JSON | headers).text == "inside"
    assert door.get("/runs", headers=headers).text == "inside"
    with feed_of(door, headers):
        pass


def test_two_names_are_none(door: TestClient) -> None:
    twice = [("host", "127.0.0.1:3000"), ("host", "page.example")]
    assert door.get("/", headers=twice).status_code == 403


def test_a_link_of_another_site_opens_a_page_and_changes_nothing(door: TestClient) -> None:
    assert door.get("/runs", headers=LINK).status_code == 200
    assert door.get("/graphql", params={"query": MUTATION}, headers=LINK).status_code == 403
    assert door.post("/graphql", headers=JSON | LINK).status_code == 403


def test_no_other_site_shows_it_in_a_frame(door: TestClient) -> None:
    assert door.get("/runs").headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("{ version }", 200),
        ("query Version { version }", 200),
        ("fragment Of on Run { id } query { version }", 200),
        ("what is this", 200),
        (MUTATION, 403),
        ("# a query\n" + MUTATION, 403),
        ("query A { version } " + MUTATION, 403),
        ("subscription { capturedLogs { stdout } }", 403),
    ],
)
def test_graphql_by_get_takes_queries_alone(door: TestClient, query: str, status: int) -> None:
    assert door.get("/graphql", params={"query": query}).status_code == status
    asks_twice = [("query", "{ version }"), ("query", query)]
    assert door.get("/graphql", params=asks_twice).status_code == status


@pytest.mark.parametrize(
    "kind",
    [
        *("text/plain", "text/plain; application/json", "application/x-www-form-urlencoded"),
        *("multipart/form-data; boundary=x", "application/graphql", ""),
    ],
)
def test_what_a_form_can_send_is_refused(door: TestClient, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    assert door.post("/graphql", params={"query": MUTATION}, headers=headers).status_code == 403


@pytest.fixture
def switches(market: ModelMarket) -> Iterator[tuple[Simulator, TestClient]]:
    simulator = Simulator(market)
    with TestClient(create_app(simulator), HERE) as client:
        yield simulator, client


@pytest.mark.parametrize("headers", FROM_ELSEWHERE.values(), ids=FROM_ELSEWHERE)
def test_other_sites_turn_no_switch_of_the_simulator(
    switches: tuple[Simulator, TestClient], headers: dict[str, str]
) -> None:
    simulator, client = switches
    body = '{"refusals_as_ok": true}'
    answer = client.post("/simulator/faults", content=body, headers=headers)
    assert (answer.status_code, simulator.faults.refusals_as_ok) == (403, False)
    assert client.get("/simulator/stats", headers=headers).status_code == 403
    # KIS looks at neither, and clients have reason to send others: a proxy, a name of a container.
    path = "/common/master/idxcode.mst.zip"
    assert client.get(path, headers=headers).status_code == 200


def test_programs_turn_switches_of_the_simulator(switches: tuple[Simulator, TestClient]) -> None:
    simulator, client = switches
    assert client.post("/simulator/faults", content='{"refusals_as_ok": true}').status_code == 200
    assert simulator.faults.refusals_as_ok


@pytest.fixture
def figures(settings: Settings) -> Iterator[httpx.Client]:
    server = serve_metrics(settings, 0, ["data.example.com", "data.example.com:8443"])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()


def test_other_sites_see_no_metrics(figures: httpx.Client) -> None:
    seen = {
        name: figures.get("/metrics", headers=headers).status_code
        for name, headers in FROM_ELSEWHERE.items()
    }
    assert seen == dict.fromkeys(FROM_ELSEWHERE, 403)


def test_prometheus_sees_metrics_also_by_a_name_allowed(figures: httpx.Client) -> None:
    for host in (None, "localhost:9188", "data.example.com"):
        headers = {} if host is None else {"host": host}
        assert "kis_up" in figures.get("/metrics", headers=headers).text


def test_no_command_is_told_to_listen_elsewhere() -> None:
    """What opens a server to others is a tunnel or a proxy, which asks who they are."""
    tree: Any = typer.main.get_command(commands)
    named = {name for it in tree.commands.values() for option in it.params for name in option.opts}
    assert "--port" in named
    assert not {name for name in named if name in ("--host", "--bind", "--address", "--listen")}


def test_every_server_listens_on_this_machine_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The UI's: `test_ui.py`."""
    metrics = serve_metrics(settings, 0)
    assert metrics.server_address[0] == "127.0.0.1"
    metrics.shutdown()
    metrics.server_close()
    bound: list[str] = []

    def run(_: uvicorn.Server, sockets: list[socket.socket]) -> None:
        bound.extend(it.getsockname()[0] for it in sockets)

    monkeypatch.setattr(uvicorn.Server, "run", run)
    command.start(None, None, port=0, virtual=False, rate_limit=None, seed=0)
    assert bound == ["127.0.0.1"]


def test_a_port_that_is_taken_is_said(narrow_terminal: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(commands, ["ui", "--port", str(port)])
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: port {port} is not available: Address already in use\n",
    )


def test_no_source_names_an_address_of_every_network() -> None:
    """So that a server made later does not either, unless somebody changes this line."""
    code = Path(__file__).parents[2] / "kis_assets"
    everywhere = ("0.0.0.0", '"::"', "'::'", 'bind(("",')
    assert not [
        path.name
        for path in code.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in everywhere)
    ]

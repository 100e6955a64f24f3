"""The MCP server, asked by the client of the same SDK: in this process, and as agents start it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp", reason="mcp is not installed: pip install -e '.[mcp]'")

from mcp import Client, StdioServerParameters, stdio_client
from mcp.server.mcpserver import MCPServer

from kis_assets.agents import server as served
from kis_assets.agents.answers import MARK, Answers
from kis_assets.agents.server import server_of
from kis_assets_tests.cli.test_reading_commands import Said
from kis_assets_tests.conftest import EVENING
from kis_assets_tests.support.small_lake import SAMSUNG

ROOT = Path(__file__).parents[2]
TOOLS = {"list_tables", "describe_table", "query", "candles", "condition"}
Ask = Callable[[Client], Awaitable[Any]]


def asked(server: MCPServer[Any] | StdioServerParameters, ask: Ask) -> Any:
    """What a client comes to that is connected to a server."""

    async def connected() -> Any:
        there = stdio_client(server) if isinstance(server, StdioServerParameters) else server
        async with Client(there) as client:
            return await ask(client)

    return anyio.run(connected)


def called(server: MCPServer[Any] | StdioServerParameters, tool: str, **given: Any) -> Any:
    """Whether a tool failed, and what it said."""
    found = asked(server, lambda client: client.call_tool(tool, given))
    (content,) = found.content
    return found.is_error, content.text


@pytest.fixture
def server(small_lake: Path) -> MCPServer[Any]:
    return server_of(Answers(small_lake, EVENING))


def test_every_tool_is_offered_as_one_that_reads(server: MCPServer[Any]) -> None:
    tools = asked(server, lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert tool.description
        assert tool.annotations.read_only_hint
        assert not tool.annotations.destructive_hint


def test_the_instructions_say_how_to_begin_and_that_prices_are_invented(
    server: MCPServer[Any], small_lake: Path, tmp_path: Path
) -> None:
    async def told(client: Client) -> str:
        return client.instructions or ""

    assert "Begin with list_tables" in asked(server, told)
    assert MARK in asked(server, told)
    (tmp_path / "kis").symlink_to(small_lake)
    assert "MOCK" not in asked(server_of(Answers(tmp_path / "kis", EVENING)), told)


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("list_tables", {}),
        ("describe_table", {"table": "daily_candles"}),
        ("query", {"sql": "SELECT 1", "max_rows": 5}),
        ("candles", {"stock": SAMSUNG, "period": "weekly", "adjusted": True, "count": 3}),
        ("condition", {"table": "daily_candles", "start": "2026-02-01"}),
    ],
)
def test_every_tool_answers_in_json(server: MCPServer[Any], tool: str, given: Any) -> None:
    is_error, text = called(server, tool, **given)
    assert not is_error, text
    assert json.loads(text)["mark"] == MARK


@pytest.mark.parametrize(
    ("tool", "given", "next_step"),
    [
        ("query", {"sql": "SELECT nothing FROM daily_candles"}, "describe_table names"),
        ("query", {"sql": "FROM nothing"}, "list_tables names"),
        ("query", {"sql": "SELECT FROM"}, "One SELECT in DuckDB's SQL"),
        ("query", {"sql": "FROM read_text('/etc/passwd')"}, "Only the tables that list_tables"),
        ("query", {"sql": "COPY (SELECT 1) TO '/tmp/x'"}, "only what reads is answered"),
        ("describe_table", {"table": "candles"}, "nearest: "),
        ("candles", {"stock": "삼성"}, "give the code"),
        ("candles", {"stock": SAMSUNG, "start": "March"}, "write it as 2026-03-17"),
        ("candles", {"stock": SAMSUNG, "period": "hourly"}, "'daily', 'weekly'"),
        (
            "candles",
            {"stock": SAMSUNG, "start": "2020-01-02", "end": "2020-01-31"},
            "Ask your user",
        ),
        ("condition", {"table": "daily"}, "of daily_candles it is"),
    ],
)
def test_a_refusal_says_what_to_do_next(
    server: MCPServer[Any], tool: str, given: Any, next_step: str
) -> None:
    is_error, text = called(server, tool, **given)
    assert is_error
    assert next_step in text


def test_where_nothing_is_stored_the_agent_learns_how_its_user_gets_it(tmp_path: Path) -> None:
    server = server_of(Answers(tmp_path / "mock"))
    is_error, text = called(server, "list_tables")
    assert not is_error
    assert '"stored_from": null' in text
    is_error, text = called(server, "query", sql="SELECT 1")
    assert is_error
    assert "run: kis-assets run. Ask your user" in text


def test_a_query_that_cannot_be_stopped_is_given_up(
    small_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB looks for a wish to end between pieces of work, and one text is one piece."""
    monkeypatch.setattr(served, "SECONDS", 0.0)
    answers, over = Answers(small_lake), threading.Event()
    monkeypatch.setattr(answers, "query", lambda *_: over.wait(30))

    async def ask(client: Client) -> Any:
        given_up = await client.call_tool("query", {"sql": "SELECT 1"})
        over.set()
        return given_up

    found = asked(server_of(answers, grace=0.05), ask)
    assert found.is_error
    assert "no answer within 0.05 s: ask for fewer days" in found.content[0].text


def test_a_mistake_of_this_code_tells_the_agent_nothing_of_the_machine(
    server: MCPServer[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("/home/somebody")

    monkeypatch.setattr(Answers, "tables", fail)
    answers = Answers(Path("mock"))
    is_error, text = called(server_of(answers), "list_tables")
    assert is_error
    assert "/home" not in text


# The command


CONFIGURED = re.search(
    r"^```json\n(.*?)^```$", (ROOT / "docs" / "agents.md").read_text("utf-8"), re.M | re.S
)


@pytest.mark.slow
def test_an_agent_starts_the_command_and_is_answered(stored: Path, tmp_path: Path) -> None:
    """As docs/agents.md configures it, from another folder than that of the data."""
    assert CONFIGURED
    ((name, given),) = json.loads(CONFIGURED[1])["mcpServers"].items()
    assert name == "kis-assets"
    assert given["command"] == f"{given['env']['KIS_FOLDER']}/.venv/bin/kis-assets"
    (tmp_path / "of-a-user" / "data").mkdir(parents=True)
    (tmp_path / "of-a-user" / "data" / "mock").symlink_to(stored)
    environment = {name: value for name, value in os.environ.items() if name != "KIS_DATA_DIR"}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "kis_assets", *given["args"]],
        cwd="/",
        env=environment | {"KIS_FOLDER": str(tmp_path / "of-a-user")},
    )

    async def ask(client: Client) -> list[tuple[bool, str]]:
        said = [
            await client.call_tool("candles", {"stock": "삼성전자", "count": 1}),
            await client.call_tool("query", {"sql": "FROM read_text('/etc/passwd')"}),
        ]
        return [(bool(it.is_error), it.content[0].text) for it in said]  # type: ignore[union-attr]

    (is_error, candles), (is_refused, refusal) = asked(server, ask)
    assert not is_error
    assert json.loads(candles)["rows"][0][0] == "2026-03-17"
    assert is_refused
    assert "Cannot access file" in refusal
    assert "root:" not in refusal


@pytest.mark.slow
def test_standard_output_is_the_protocol_alone(stored: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kis_assets", "mcp"],
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_package_it_says_how_to_install_it(
    stored: Path, narrow_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [it for it in sys.modules if re.match(r"(mcp|mcp_types|kis_assets\.agents)\b", it)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    said = Said("mcp")
    assert said.status == 1
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (wanted,) = described["project"]["optional-dependencies"]["mcp"]
    assert said.error.startswith(f"error: this needs the package mcp: pip install '{wanted}'")

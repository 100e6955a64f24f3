"""The MCP server: the tools that an agent is offered, over `answers.py`. Needs the extra `mcp`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import anyio
import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from kis_assets.agents.answers import MARK, ROWS, SECONDS, Answer, Answers, Period, explained

GRACE = 5.0
"""Seconds after which an answer is given up that DuckDB does not stop when it is told to."""

_TELL = """Korean stock market data that is stored on this machine. It is read only: nothing is
fetched, written or traded.

Begin with list_tables, and ask describe_table before you write SQL. Days are days in Seoul, prices
KRW, instants have their zone. daily_candles are raw; for returns over a split ask for adjusted
candles or the view daily_candles_adjusted. Before you rely on a day, ask condition: only what is
available is complete and checked. Say in your answer which days the figures are of."""

_Day = Annotated[str | None, Field(description="A day in Seoul, such as 2026-03-17; included.")]


def server_of(answers: Answers, grace: float = GRACE) -> MCPServer[Any]:
    """The MCP server of one lake.

    Args:
        answers: what it says.
        grace: seconds over `SECONDS` after which a tool answers without its query.
    """
    told = f"{_TELL}\n\n{MARK}" if answers.is_invented else _TELL
    server = MCPServer[Any](
        "kis-assets", instructions=told, version=version("kis-assets"), log_level="WARNING"
    )
    within = SECONDS + grace

    async def say(make: Callable[[], Answer]) -> str:
        try:
            with anyio.fail_after(within):
                found = await anyio.to_thread.run_sync(make, abandon_on_cancel=True)
        except TimeoutError:
            raise ToolError(
                f"no answer within {within:g} s: ask for fewer days, stocks and columns"
            ) from None
        except Exception as error:
            if (sentence := explained(error)) is None:
                raise
            raise ToolError(sentence) from None
        return json.dumps(found, ensure_ascii=False)

    tool = partial(
        server.tool,
        annotations=ToolAnnotations(
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
        structured_output=False,
    )

    @tool()
    async def list_tables() -> str:
        """List all tables and views: what each shows, and from when to when rows are stored."""
        return await say(answers.tables)

    @tool()
    async def describe_table(table: str) -> str:
        """Describe a table or view: its columns with type, unit and meaning, and its key."""
        return await say(partial(answers.describe, table))

    @tool()
    async def query(
        sql: Annotated[str, Field(description="One SELECT in DuckDB's SQL over the tables.")],
        max_rows: Annotated[int, Field(description=f"How many rows, up to {ROWS}.")] = 200,
    ) -> str:
        """Ask the tables in SQL. Reads only: one SELECT, within 20 seconds, first rows only."""
        return await say(partial(answers.query, sql, max_rows))

    @tool()
    async def candles(
        stock: Annotated[str, Field(description="A code such as 005930, or a name.")],
        start: _Day = None,
        end: _Day = None,
        period: Annotated[Period, Field(description="What one candle covers.")] = "daily",
        adjusted: Annotated[
            bool,
            Field(
                description="On the share count of the newest stored day, for returns; of daily, "
                "weekly and monthly candles. False: as they were traded."
            ),
        ] = False,
        count: Annotated[int, Field(description=f"How many of the newest, up to {ROWS}.")] = 100,
    ) -> str:
        """Give stored candles of one stock, oldest first: KRW a share, shares, KRW."""
        return await say(
            partial(
                answers.candles, stock, start, end, period=period, adjusted=adjusted, count=count
            )
        )

    @tool()
    async def condition(
        table: Annotated[str | None, Field(description="One table; all when left out.")] = None,
        start: _Day = None,
        end: _Day = None,
    ) -> str:
        """Say which days can be relied on: available, degraded, pending or missing, and why."""
        return await say(partial(answers.condition, table, start, end))

    return server

"""`kis-assets mcp`: what is stored, for agents that speak MCP over standard input and output."""

from __future__ import annotations

import sys

from kis_assets.cli.common import app, note, settings_of, stop


@app.command()
def mcp() -> None:
    """Serve what is stored to an agent (MCP), read-only; its client starts this. docs/agents.md."""
    settings = settings_of()
    try:
        from kis_assets.agents.server import server_of
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise stop(
            "this needs the package mcp: pip install 'mcp>=2.3,<3', or in a clone "
            "pip install -e '.[mcp]'",
            1,
        ) from None
    from kis_assets.agents.answers import Answers

    answers = Answers(settings.source_dir, settings.kis_replay_at)
    if sys.stdin.isatty():
        note(f"an MCP client is awaited on standard input, for {settings.source_dir}; Ctrl-C ends")
    # Standard output is the protocol's: the server sends what else is printed to standard error.
    server_of(answers).run("stdio")

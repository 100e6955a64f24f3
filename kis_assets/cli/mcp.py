"""`kis-assets mcp`: serves stored data to agents by MCP over standard input and output."""

from __future__ import annotations

import sys

from kis_assets.cli.common import app, note, settings_of, stop


@app.command()
def mcp() -> None:
    """Serve stored data to an agent (MCP), read-only. An MCP client starts this: docs/agents.md."""
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
        note(f"waiting for an MCP client on standard input, for {settings.source_dir}; Ctrl-C ends")
    # Standard output belongs to the protocol: the server redirects other prints to standard error.
    server_of(answers).run("stdio")

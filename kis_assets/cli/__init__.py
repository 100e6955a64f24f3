"""The command-line program kis-assets."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Run the typed command. Ctrl-C ends it without a traceback, even during the imports."""
    try:
        from kis_assets.cli.commands import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def __getattr__(name: str) -> Any:
    """`app`, the commands, loaded at its first use.

    Raises:
        AttributeError: the name is not `app`.
    """
    if name == "app":
        from kis_assets.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

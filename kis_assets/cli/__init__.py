"""kis-assets: the commands people type."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Run the command that is typed. Ctrl-C ends it without a trace, from the first moment on."""
    try:
        from kis_assets.cli.commands import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def __getattr__(name: str) -> Any:
    """`app`, the commands, loaded when somebody asks for it.

    Raises:
        AttributeError: another name is asked for.
    """
    if name == "app":
        from kis_assets.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

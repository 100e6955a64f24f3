"""`ui`: runs the Dagster UI as one program, whose processes are detached from the terminal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import chdir, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Annotated

import typer

import kis_assets
from kis_assets.cli.common import INTERRUPTED, OtherSource, app, port_error, settings_of
from kis_assets.cli.ui_log import told_briefly
from kis_assets.security.text_input import start_folder

_DAGSTERS = "ignore::DeprecationWarning:dagster._core.remote_representation.external_data"
"""Dagster uses features that it has deprecated itself, and would print warnings first."""
_SERVER = "import sys; sys.path.insert(0, {!r}); from kis_assets.cli import main; main()"


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    source: OtherSource = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name of a proxy or tunnel that shows it; may be repeated."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Dagster logs.")] = False,
) -> None:
    """Run the Dagster UI with this project's DAGSTER_HOME, reachable from this machine only.

    The terminal shows its address, warnings and errors. The log of a run is on its page.
    """
    try:
        settings_of(source)
        try:
            with socket.create_server(("127.0.0.1", port)) as listener:
                port = listener.getsockname()[1]
        except OSError as error:
            raise port_error(port, error) from None
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        given = {} if source is None else {"DATA_SOURCE_TYPE": source.value}
        # Dagster would read any `.env` of the current folder and expand `${...}`, its processes
        # communicate by files that another user could create first, and they would import modules
        # from the current folder. So they start in a private temporary folder.
        here = str(start_folder())
        with TemporaryDirectory(prefix="kis-assets-") as folder, chdir(folder):
            # The last filter wins.
            filters = filter(None, (os.environ.get("PYTHONWARNINGS"), _DAGSTERS))
            given |= {"PYTHONWARNINGS": ",".join(filters)}
            given |= {"KIS_FOLDER": here, "TMPDIR": folder, "PYTHONSAFEPATH": "1"}
            words = [str(port), *(allow_host or ())]
            if verbose:
                status = _serve(words, given)
            else:
                with told_briefly(Path(folder, "ui.log")) as log:
                    status = _serve(words, given, log)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(status)


def _serve(words: list[str], environment: dict[str, str], log: IO[bytes] | None = None) -> int:
    """Run the server until it ends, or until Ctrl-C or SIGTERM; returns its exit status.

    Its processes write to `log`, or to the terminal if there is none.

    It has a session of its own: a terminal sends Ctrl-C to all processes of a program, and
    Dagster's would print tracebacks.
    """
    # The package may be in the current folder and not be installed.
    code = _SERVER.format(str(Path(kis_assets.__file__).parents[1]))
    command = [sys.executable, "-P", "-c", code, "serve-ui", "--", *words]
    server = subprocess.Popen(  # noqa: S603
        command,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    status = INTERRUPTED
    try:
        status = server.wait()
    except KeyboardInterrupt:
        server.communicate()  # this closes its input: see `ui_server`
        status = server.returncode
    finally:
        if hasattr(os, "killpg"):
            # Kill processes that are still starting; let active runs end in order.
            how = signal.SIGKILL if status == INTERRUPTED else signal.SIGTERM
            with suppress(ProcessLookupError):
                os.killpg(server.pid, how)
    return status

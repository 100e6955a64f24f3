"""`ui`: the Dagster UI as one program, whose processes know nothing of the terminal."""

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
from kis_assets.cli.common import INTERRUPTED, OtherSource, app, no_port, settings_of
from kis_assets.cli.ui_log import told_briefly
from kis_assets.security.text_input import start_folder

_DAGSTERS = "ignore::DeprecationWarning:dagster._core.remote_representation.external_data"
"""Dagster uses what it has deprecated itself, and would say so before anything else."""
_SERVER = "import sys; sys.path.insert(0, {!r}); from kis_assets.cli import main; main()"


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    source: OtherSource = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name under which a proxy or a tunnel shows it; may be repeated."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that Dagster logs.")] = False,
) -> None:
    """Open the Dagster UI, on this machine alone, with this project's DAGSTER_HOME.

    Shows its address, warnings and errors; what each run says stands on its page.
    """
    try:
        settings_of(source)
        try:
            with socket.create_server(("127.0.0.1", port)) as listener:
                port = listener.getsockname()[1]
        except OSError as error:
            raise no_port(port, error) from None
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        given = {} if source is None else {"DATA_SOURCE_TYPE": source.value}
        # Dagster would read `.env` of the current folder, whatever stands in it, and expand
        # `${...}`; its processes talk to each other by files that another user could make first.
        # None of them imports a module that lies in the folder it was started in.
        here = str(start_folder())
        with TemporaryDirectory(prefix="kis-assets-") as folder, chdir(folder):
            told = filter(None, (os.environ.get("PYTHONWARNINGS"), _DAGSTERS))  # the last one wins
            given |= {"PYTHONWARNINGS": ",".join(told)}
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
    """Run the server until it ends, or until Ctrl-C or SIGTERM; its exit status.

    All that its processes say goes into `log`, to the terminal without one.

    It has a session of its own: a terminal sends Ctrl-C to all of a program's processes, and those
    of Dagster would show where it found them.
    """
    # The project may lie in the current folder and be installed nowhere.
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
        server.communicate()  # which closes its input: see `ui_server`
        status = server.returncode
    finally:
        if hasattr(os, "killpg"):
            # What it had begun shows nothing of itself; a run that is at work ends in order.
            how = signal.SIGKILL if status == INTERRUPTED else signal.SIGTERM
            with suppress(ProcessLookupError):
                os.killpg(server.pid, how)
    return status

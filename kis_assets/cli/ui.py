"""`ui`: Dagster's webserver behind a door, its daemon and its code server, as one program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from kis_assets.cli.common import OtherSource, Source, app, no_port, settings_of, stop
from kis_assets.security.text_input import start_folder

if TYPE_CHECKING:
    from dagster import DagsterInstance

_ENDING = 60
"""Seconds for the daemon to end by itself."""
_CLOSING = 5
"""Seconds for open connections of browsers to end by themselves."""


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 3000,
    source: OtherSource = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name under which a proxy or a tunnel shows it; may be repeated."),
    ] = None,
) -> None:
    """Open the Dagster UI, on this machine alone, with this project's DAGSTER_HOME."""
    settings = settings_of(source)
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise no_port(port, error) from None
    from kis_assets.execution import runner

    with listener:
        try:
            home = runner.home(settings)
        except OSError as error:
            raise stop(error) from None
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with _elsewhere(home, source):
                _serve(listener, home, allow_host or ())
        except KeyboardInterrupt:
            return
    raise stop("Dagster's daemon has ended, and the UI with it", 1)


def _serve(listener: socket.socket, home: Path, allowed: Collection[str]) -> None:
    """Serve until the daemon has ended.

    Raises:
        KeyboardInterrupt: Ctrl-C, or SIGTERM.
    """
    import dagster as dg
    import uvicorn
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._utils.log import configure_loggers
    from dagster_webserver import cli
    from dagster_webserver.app import create_app_from_workspace_process_context

    from kis_assets.security.http_guard import Door

    configure_loggers()
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        _code_server(instance) as workspace,
        _daemon(workspace) as daemon,
    ):
        instance.optimize_for_webserver(
            cli.DEFAULT_DB_STATEMENT_TIMEOUT,
            cli.DEFAULT_POOL_RECYCLE,
            cli.DEFAULT_POOL_MAX_OVERFLOW,
        )
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, target, version=dg.__version__) as context:
            served = create_app_from_workspace_process_context(context, live_data_poll_rate=2000)
            server = uvicorn.Server(
                uvicorn.Config(
                    Door(served, allowed),
                    log_level="warning",
                    timeout_graceful_shutdown=_CLOSING,
                )
            )

            def end_with_the_daemon() -> None:
                daemon.wait()
                server.should_exit = True

            threading.Thread(target=end_with_the_daemon, daemon=True).start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            typer.echo(f"{url} - stop it with Ctrl-C")
            server.run(sockets=[listener])


@contextmanager
def _elsewhere(home: Path, source: Source | None) -> Generator[None]:
    """Run in a folder that nobody else can look into, and have all processes do so.

    Dagster would read `.env` of the current folder, whatever stands in it, and expand `${...}`; its
    processes talk to each other by files that another user could make first.

    Dagster starts the code server itself, with the environment of this process and no other: what
    its processes need to know is written there, and taken back in the end.
    """
    here, before, aside = start_folder(), dict(os.environ), tempfile.tempdir
    with TemporaryDirectory(prefix="kis-assets-") as folder:
        os.environ |= {"KIS_FOLDER": str(here), "TMPDIR": folder, "DAGSTER_HOME": str(home)}
        # No process imports a module that lies in the folder it was started in.
        os.environ["PYTHONSAFEPATH"] = "1"
        if source is not None:
            os.environ["DATA_SOURCE_TYPE"] = source.value
        tempfile.tempdir = folder
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
            tempfile.tempdir = aside
            os.environ.clear()
            os.environ |= before


@contextmanager
def _code_server(instance: DagsterInstance) -> Generator[Path]:
    """The process that loads the definitions, and the file by which the others find it."""
    import yaml
    from dagster._cli.proxy_server_manager import ProxyServerManager
    from dagster._core.workspace.load_target import ModuleTarget

    import kis_assets

    # Dagster would take the current folder, and imports from it before anything else.
    ours = str(Path(kis_assets.__file__).parents[1])
    target = ModuleTarget("kis_assets.definitions", None, ours, None)
    with ProxyServerManager(instance, target, "warning") as servers, TemporaryDirectory() as folder:
        file = Path(folder, "workspace.yaml")
        file.write_text(yaml.dump({"load_from": servers.get_code_server_specs()}))
        yield file


@contextmanager
def _daemon(workspace: Path) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "dagster._daemon", "run", "-w", str(workspace)]
    process = subprocess.Popen(command)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""The server that `ui` starts: Dagster's webserver behind a guard, its daemon and code server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from kis_assets.cli.common import INTERRUPTED, app, port_error, stop
from kis_assets.monitoring import json_log

if TYPE_CHECKING:
    import uvicorn
    from dagster import DagsterInstance

    from kis_assets.settings import Settings

_ENDING = 60
"""Seconds to wait until the daemon ends by itself."""
_CLOSING = 5
"""Seconds to wait until open browser connections end by themselves."""


@app.command(hidden=True)
def serve_ui(port: int, allow_host: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Serve the UI until standard input is closed; `kis-assets ui` starts this and closes it."""
    serving: list[uvicorn.Server] = []
    making = threading.Lock()

    def end_with_the_input() -> None:
        sys.stdin.read()
        if serving:
            serving[0].should_exit = True
            return
        # Dagster would print or swallow an exception. `ui` ends the child processes.
        with making:
            typer.echo("interrupted", err=True)
            os._exit(INTERRUPTED)

    threading.Thread(target=end_with_the_input, daemon=True).start()
    from kis_assets.execution import runner
    from kis_assets.settings import Settings

    with making:  # never leave Dagster's databases half created
        try:
            settings = Settings.load()
            home = runner.home(settings)
        except OSError as error:
            raise stop(error) from None
    if not _serve(port, settings, home, allow_host or (), serving.append):
        raise stop("Dagster's daemon has ended, and the UI with it", 1)


def _serve(
    port: int,
    settings: Settings,
    home: Path,
    allowed: Collection[str],
    begin: Callable[[uvicorn.Server], object],
) -> bool:
    """Serve until the user ends it (returns True) or the daemon ends (returns False).

    `begin` gets the server when everything is ready.
    """
    import dagster as dg
    import uvicorn
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._utils.log import configure_loggers
    from dagster_webserver import cli
    from dagster_webserver.app import create_app_from_workspace_process_context
    from uvicorn.config import LOGGING_CONFIG

    from kis_assets.security.http_guard import Door

    configure_loggers()
    json_log.begin(settings)
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise port_error(port, error) from None
    with (
        listener,
        dg.DagsterInstance.from_config(str(home)) as instance,
        _code_server(instance) as workspace,
        _daemon(workspace, home) as daemon,
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
                    log_config=None if json_log.is_on() else LOGGING_CONFIG,
                    timeout_graceful_shutdown=_CLOSING,
                )
            )

            def end_with_the_daemon() -> None:
                daemon.wait()
                server.should_exit = True

            threading.Thread(target=end_with_the_daemon, daemon=True).start()
            begin(server)
            typer.echo(f"http://127.0.0.1:{port} - stop it with Ctrl-C")
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
            return daemon.poll() is None


@contextmanager
def _code_server(instance: DagsterInstance) -> Generator[Path]:
    """Run the process that loads the definitions; yields the file with which others find it."""
    import yaml
    from dagster._cli.proxy_server_manager import ProxyServerManager
    from dagster._core.workspace.load_target import ModuleTarget

    import kis_assets

    # By default Dagster would import from the current folder first.
    ours = str(Path(kis_assets.__file__).parents[1])
    target = ModuleTarget("kis_assets.definitions", None, ours, None)
    with ProxyServerManager(instance, target, "warning") as servers, TemporaryDirectory() as folder:
        file = Path(folder, "workspace.yaml")
        file.write_text(yaml.dump({"load_from": servers.get_code_server_specs()}))
        yield file


@contextmanager
def _daemon(workspace: Path, home: Path) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "dagster._daemon", "run", "-w", str(workspace)]
    if json_log.is_on():
        command += ["--log-format", "json"]
    environment = os.environ | {"DAGSTER_HOME": str(home)}
    process = subprocess.Popen(command, env=environment)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

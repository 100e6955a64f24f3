"""Shared state of requests (`status`, `metrics`), and a simulated KIS server (`simulate`)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from kis_assets.cli.answer import Answer, reading_command, say_mark
from kis_assets.cli.common import app, note, port_error, settings_of, stop
from kis_assets.cli.output import dump


@app.command()
@reading_command
def status(answer: Answer) -> None:
    """Show the state that processes share: quota, token, breaker, cache. Sends no request."""
    settings = settings_of()
    from kis_assets.errors import KISError
    from kis_assets.monitoring.status import snapshot

    try:
        found = snapshot(settings)
    except (KISError, OSError) as error:
        raise stop(error, 1) from None
    found = {"source": settings.source_name, **found}
    say_mark(settings.source_name)
    if answer.as_json and answer.chosen is None:
        typer.echo(dump(found, default=str))
        return
    flat: dict[str, object] = {}
    for name, value in found.items():
        if not isinstance(value, dict):
            flat[name] = str(value)
            continue
        for inner, facts in value.items():
            shown = facts if isinstance(facts, dict) else {"": facts}
            for label, fact in shown.items():
                flat[" ".join(filter(None, (name, inner, label)))] = str(fact)
    answer.record(flat)
    if not settings.credentials:
        note("no credentials: KIS is not used, so there is no quota, token or breaker to show")


@app.command()
def metrics(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 9188,
    once: Annotated[bool, typer.Option(help="Print the metrics and end.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name of a proxy that shows them; may be repeated."),
    ] = None,
) -> None:
    """Serve counts and results of requests to Prometheus. Sends no request to KIS."""
    settings = settings_of()
    from kis_assets.monitoring.metrics import metrics_text, serve_metrics

    if once:
        typer.echo(metrics_text(settings), nl=False)
        return
    try:
        server = serve_metrics(settings, port, allow_host or ())
    except OSError as error:
        raise port_error(port, error) from None
    typer.echo(f"http://127.0.0.1:{server.server_port}/metrics - stop it with Ctrl-C")
    _until_interrupted()


def _until_interrupted() -> None:
    import threading

    # With a timeout, because a thread that waits without one does not get Ctrl-C.
    while not threading.Event().wait(0.5):
        pass


@app.command()
def simulate(
    replay: Annotated[Path | None, typer.Option(help="Folder of real market days.")] = None,
    at: Annotated[
        str | None, typer.Option(help="The time in the market, such as 2026-03-17T15:40+09:00.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 8899,
    virtual: Annotated[bool, typer.Option(help="Behave as the virtual server.")] = False,
    rate_limit: Annotated[float | None, typer.Option(help="Allowed requests per second.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the invented market.")] = 0,
    speed: Annotated[
        float, typer.Option(min=0, help="With --at: the speed of its clock; 0: it stands still.")
    ] = 0,
) -> None:
    """Run a simulated KIS server on this machine: an invented market, or a replay of real days."""
    from kis_assets.exchange import calendar
    from kis_assets.security.text_input import expanded
    from kis_assets.simulator.server.command import start

    moment = None
    if at is not None:
        try:
            moment = datetime.fromisoformat(at)
        except ValueError:
            raise stop(f"--at {at!r} is not a moment; write 2026-03-17T15:40+09:00") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=calendar.SEOUL)
    if replay is not None and moment is None:
        raise stop("--replay needs --at: the time in the market to replay")
    try:
        start(
            replay and expanded(replay, Path.cwd()),
            moment,
            port=port,
            virtual=virtual,
            rate_limit=rate_limit,
            seed=seed,
            speed=speed,
        )
    except (OSError, ValueError, OverflowError) as error:
        raise stop(str(error)) from None

"""The commands `backfill` and `repair`. `execution/backfill.py` does the work."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sized
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kis_assets.cli import output
from kis_assets.cli.common import INTERRUPTED, app, maintain, quieten, settings_of, stop

if TYPE_CHECKING:
    from kis_assets.defs.resources import KISResource
    from kis_assets.execution.plan import Plan
    from kis_assets.lake.lake import Lake
    from kis_assets.settings import Settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the estimate.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Start without confirmation.")]


@app.command()
def backfill(
    table: Annotated[
        str, typer.Argument(help="A table with history: daily_candles, investor_flows, ...")
    ],
    first: Annotated[str, typer.Argument(help="First month (2015-01) or day (2026-03-02).")],
    last: Annotated[str, typer.Argument(help="Last month or day, included.")],
    again: Annotated[bool, typer.Option(help="Also fetch complete partitions again.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the history of a table, one run per partition; complete partitions are skipped."""

    def make(kis: KISResource, lake: Lake) -> Plan:
        from kis_assets.execution.plan import make_plan

        return make_plan(table, first, last, kis, lake, again=again)

    _offer(make, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command()
def repair(
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch candles again that were stored before they were final."""

    def make(kis: KISResource, lake: Lake) -> Plan:
        from kis_assets.execution.repair import make_repair

        return make_repair(kis, lake)

    _offer(make, dry_run=dry_run, yes=yes, as_json=as_json)


def _offer(
    make: Callable[[KISResource, Lake], Plan], *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Print the estimate of a plan, and run it if the user confirms."""
    warnings.simplefilter("ignore")
    quieten()
    settings = settings_of()
    from kis_assets import definitions

    definitions.load()  # before anything loads Polars
    from kis_assets.defs.resources import KISResource, open_lake
    from kis_assets.errors import KISError
    from kis_assets.execution import runner

    kis = KISResource.of(settings)
    try:
        home = runner.home(settings)
        plan = make(kis, open_lake(settings))
    except (ValueError, OSError, KISError) as error:
        raise stop(error) from None
    finally:
        kis.close()
    if dry_run and as_json:
        typer.echo(json.dumps(plan.facts()))
    elif not as_json:
        typer.echo(estimate(plan))
    if dry_run or not plan.partitions:
        return
    if not yes and not typer.confirm("Begin?", err=True):
        raise typer.Exit(1)
    _run(plan, settings, home, as_json)


def estimate(plan: Plan) -> str:
    """The estimate of a plan, as one or two sentences."""
    left_out = f"; {plan.complete} are complete and skipped" if plan.complete else ""
    if not plan.partitions:
        return f"{plan.table}: nothing to fetch{left_out}"
    from kis_assets.monitoring.costs import duration
    from kis_assets.tables import TABLES

    how = "made locally, without requests"
    if plan.requests:
        how = (
            f"about {plan.requests:,} requests at {plan.rate:g} per second; captures, which go "
            "first, and writing rows add to it"
        )
    return (
        f"{plan.table}: {_counted(plan.partitions)} from {plan.partitions[0]} to "
        f"{plan.partitions[-1]}{left_out}\n"
        f"{plan.stocks:,} {TABLES[plan.table].rows_of}, about {duration(plan.seconds)}: {how}"
    )


def _run(plan: Plan, settings: Settings, home: Path, as_json: bool) -> None:
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from kis_assets.defs.resources import open_lake
    from kis_assets.errors import KISError
    from kis_assets.execution import backfill, history
    from kis_assets.execution.dagster_home import in_process

    console = output.console(stderr=as_json)
    bar = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %, {task.fields[done]} done"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task(plan.table, total=plan.steps, done=0)
    at, before = plan.partitions[0], 0
    done: list[str] = []
    failed: dict[str, str] = {}
    stopped = ""

    def starting(what: str) -> None:
        nonlocal at, before
        at, before = what, 0
        bar.update(task, description=f"{plan.table} {what}")

    def progress(completed: int, _total: int, _code: str) -> None:
        nonlocal before
        # Checks count from 0 again, but are not steps of the plan.
        bar.advance(task, max(0, completed - before))
        before = max(before, completed)

    try:
        with (
            bar,
            in_process(home) as instance,
            closing(
                backfill.run(plan, settings, instance, starting=starting, progress=progress)
            ) as outcomes,
        ):
            for outcome in outcomes:
                if outcome.error:
                    failed[outcome.partition] = outcome.error
                    bar.console.print(f"{outcome.partition}: {outcome.error}", markup=False)
                else:
                    done.append(outcome.partition)
                bar.update(task, done=len(done))
    except history.Canceled:
        stopped = "canceled in the UI"
    except KeyboardInterrupt:
        stopped = "interrupted"
    except KISError as error:
        stopped = str(error)
    if done:
        maintain(console, open_lake(settings))
    if as_json:
        found = {"table": plan.table, "done": done, "failed": failed, "stopped": stopped}
        typer.echo(json.dumps(found | ({"stopped_at": at} if stopped else {}), ensure_ascii=False))
    if stopped:
        typer.echo(
            f"stopped at {at} ({stopped}): {len(done)} of {len(plan.partitions)} partitions are "
            "stored; the same command continues from there",
            err=True,
        )
        raise typer.Exit(INTERRUPTED if stopped == "interrupted" else 1)
    if failed:
        raise typer.Exit(1)
    if not as_json:
        console.print(f"stored in {settings.source_dir / 'parquet'}: {_counted(done)}")


def _counted(partitions: Sized) -> str:
    return f"{len(partitions)} partition{'s' * (len(partitions) != 1)}"

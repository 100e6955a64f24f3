"""`run`: fetches, checks and stores the tables of a day."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets.cli import output
from kis_assets.cli.common import (
    INTERRUPTED,
    OtherSource,
    app,
    maintain,
    quieten,
    settings_of,
    stop,
)
from kis_assets.exchange.venues import Venue, is_invented

if TYPE_CHECKING:
    from kis_assets.execution.runner import Outcome
    from kis_assets.lake.lake import Lake
    from kis_assets.settings import Settings


@app.command()
def run(
    date: Annotated[
        str | None, typer.Option(help="Trading day, YYYY-MM-DD; default: the latest session.")
    ] = None,
    source: OtherSource = None,
    table: Annotated[
        list[str] | None,
        typer.Option(help="Only this table; may be repeated, in the order to fetch."),
    ] = None,
) -> None:
    """Fetch, check and store a day: stock master, prices, the month's daily candles, and more."""
    import time
    import warnings

    given = settings = settings_of(source)
    reason = settings.source_reason
    if table and _are_of_krx(table):
        of_krx: dict[str, Any] = {"data_source_type": "krx", "kis_venue": Venue.KRX}
        settings = settings.model_copy(update=of_krx)
        reason = f"{' and '.join(dict.fromkeys(table))} is from KRX only"
    try:
        day = _day_or_latest(date, settings)
    except ValueError as error:
        raise stop(str(error)) from None
    # Dagster warns at every start about its preview and beta features.
    warnings.simplefilter("ignore")
    from rich.markup import escape

    from kis_assets.cli.progress import Bar

    console = output.console()
    console.print(_banner(settings, reason))
    started = time.monotonic()
    with console.status("starting"):
        from kis_assets import definitions

        definitions.load()  # before anything loads Polars
        from kis_assets.defs.resources import open_lake
        from kis_assets.execution import history, runner
        from kis_assets.execution.dagster_home import in_process
        from kis_assets.monitoring import costs
        from kis_assets.tables import default_tables
    try:
        tables = table or default_tables(settings.source_type, is_virtual=settings.is_virtual)
        for name in tables:
            runner.partition_of(name, day)
        home = runner.home(settings)
    except (ValueError, OSError) as error:
        raise stop(error) from None
    quieten()
    lake = open_lake(settings)
    left_out: dict[str, str] = {}
    if table is None:
        left_out = runner.unavailable(tables, day, settings, lake)
    for name, why in left_out.items():
        console.print(f"[yellow]{name} is left out:[/] {escape(why)}", highlight=False)
    tables = [name for name in tables if name not in left_out]
    console.print(costs.planned(tables, day, settings, lake), highlight=False)
    begun: list[str] = []
    with Bar(console, settings, tables, day) as bar, in_process(home) as instance:

        def starting(name: str, partition: str) -> None:
            _print_estimate(bar.console, tables, begun, settings, lake, day)
            begun.append(name)
            bar.start(name, partition)

        try:
            outcomes = runner.run_day(
                day,
                instance,
                given,
                tables,
                starting=starting,
                progress=bar.advance,
                ended=bar.ended,
            )
        except KeyboardInterrupt as why:
            is_canceled = isinstance(why, history.Canceled)
            bar.console.print(
                f"{'Canceled in the UI' if is_canceled else 'Interrupted'} at {begun[-1]}. Stored "
                "rows stay; the same command continues."
            )
            raise typer.Exit(1 if is_canceled else INTERRUPTED) from None
    maintain(console, lake)
    _show(console, outcomes, settings, time.monotonic() - started)
    if any(outcome.error or _broken(outcome) for outcome in outcomes):
        raise typer.Exit(1)


def _are_of_krx(names: Sequence[str]) -> bool:
    """Whether only KRX has these tables: they are fetched from KRX into its folder."""
    from kis_assets.tables import TABLES

    return all(name in TABLES and TABLES[name].own_source == "krx" for name in names)


def _day_or_latest(asked: str | None, settings: Settings) -> dt.date:
    """The requested day, or else the latest session, or with KRX the latest published day.

    Raises:
        ValueError: it is not a day or not a trading day, or its session has not begun.
    """
    from kis_assets.exchange import calendar
    from kis_assets.krx import publication

    now = settings.now()
    is_krx = settings.source_type == "krx"
    latest = publication.newest(now) if is_krx else calendar.latest_session(now).day
    if asked is None:
        return latest
    try:
        day = dt.date.fromisoformat(asked)
    except ValueError:
        raise ValueError(f"{asked!r} is not a day; write it as {latest}") from None
    if not calendar.is_trading_day(day):
        before = calendar.previous_trading_day(day)
        raise ValueError(f"{day} is not a trading day of KRX; the one before it is {before}")
    if is_krx:
        publication.check(day, now)
    if day > latest:
        raise ValueError(f"the session of {day} has not begun; the latest is {latest}")
    return day


def _print_estimate(
    console: Any,
    tables: Sequence[str],
    begun: Sequence[str],
    settings: Settings,
    lake: Lake,
    day: dt.date,
) -> None:
    """Print the estimate before the first table that needs a request for every stock.

    By then the stock master is stored, so the number of stocks is known.
    """
    from kis_assets.monitoring import costs

    asking = [name for name in tables if costs.requests_of(name, 1, day, settings)]
    if tables[len(begun)] not in asking or set(begun) & set(asking):
        return
    narrowed = costs.most_traded_note(tables, lake, day, settings)
    takes = costs.estimate(tables, costs.stocks_of(settings, lake), day, settings)
    for line in filter(None, (narrowed, takes and f"This takes {takes}.")):
        console.print(line, highlight=False, soft_wrap=True)


def _banner(settings: Settings, reason: str) -> str:
    if settings.source_type == "mock":
        return (
            "[bold yellow]MOCK DATA[/] - an invented market, because "
            f"{reason}. Nothing in it is real."
        )
    if is_invented(settings.source_name):
        return (
            f"[bold yellow]SIMULATED[/] - {settings.base_url} is not a server of "
            f"{settings.source_type.upper()} ({reason}). The source of its rows is "
            f"{settings.source_name}; they are in {settings.source_dir}"
        )
    server = "Open API" if settings.source_type == "krx" else f"{settings.environment} server"
    replay = f", replay at {settings.kis_replay_at}" if settings.kis_replay_at else ""
    return f"[bold]{settings.source_type.upper()}[/] {server}{replay} ({reason})"


def _broken(outcome: Outcome) -> list[str]:
    """The failed checks that are not only warnings."""
    return [
        name
        for name, passed in outcome.checks.items()
        if not passed and name not in outcome.warnings
    ]


def _show(console: Any, outcomes: list[Outcome], settings: Settings, seconds: float) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))  # fits 80 columns
    for name in ("table", "partition", "rows", "new", "altered", "failed", "checks", "seconds"):
        is_name = name in ("table", "partition")
        table.add_column(name, justify="left" if is_name else "right", no_wrap=True)
    for outcome in outcomes:
        found = outcome.metadata
        checks = f"{sum(outcome.checks.values())}/{len(outcome.checks)}" if outcome.checks else ""
        cells = [
            found.get(name, "") for name in ("dagster/row_count", "added", "altered", "failed")
        ]
        table.add_row(
            f"[red]{outcome.table}[/]" if outcome.error or _broken(outcome) else outcome.table,
            outcome.partition,
            *(f"{cell:,}" if isinstance(cell, int) else "" for cell in cells),
            checks,
            str(found.get("seconds", "")),
        )
    console.print(table)
    failed: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.error:
            failed.setdefault(outcome.error, []).append(outcome.table)
    for error, names in failed.items():
        console.print(f"[red]{', '.join(names)}:[/] {escape(error)}")
    for outcome in outcomes:
        for name in _broken(outcome):
            console.print(f"[red]{outcome.table}:[/] check failed: {name}")
        for name in outcome.warnings:
            console.print(f"[yellow]{outcome.table}:[/] worth a look: {name}")
        if page := outcome.metadata.get("page"):
            console.print(f"{outcome.table}: {escape(str(page))}", soft_wrap=True, highlight=False)
        if gone := outcome.metadata.get("delisted"):
            console.print(f"[yellow]{outcome.table}:[/] delisted, not asked for: {gone}")
        if outcome.metadata.get("failures"):
            console.print(f"[yellow]{outcome.table}, failed:[/]")
            console.print(escape(str(outcome.metadata["failures"])), highlight=False)
    if settings.source_type == "kis":
        from kis_assets.monitoring.status import grants

        for line in dict.fromkeys(grants(settings)):
            console.print(f"[yellow]rate:[/] {line}", highlight=False)
    if all(outcome.error for outcome in outcomes):
        looks = (
            ""
            if any(it.is_refused for it in outcomes)
            else " Run kis-assets doctor to find the reason."
        )
        console.print(f"\nNothing was stored.{looks}")
        return
    folder = settings.source_dir
    is_failed = failed or any(_broken(outcome) for outcome in outcomes)
    how = f"Failed after {seconds:.0f} s" if is_failed else f"Done in {seconds:.0f} s"
    console.print(f"\n{how}. The rows are in {folder / 'parquet'}", soft_wrap=True)
    console.print("Next:")
    # So that it works as printed, even if the virtual environment is not active.
    bin_dir = Path(sys.executable).parent
    if bin_dir.is_relative_to(Path.cwd()):
        bin_dir = bin_dir.relative_to(Path.cwd())
    console.print(f"  {bin_dir / 'kis-assets'} ui    # look at it: http://127.0.0.1:3000")
    stored, price, view = (
        ("krx_daily", "close", "krx_daily")
        if settings.source_type == "krx"
        else ("price_snapshots", "price, session, regular_close", "latest_prices")
    )
    if not any((folder / "parquet" / stored).glob("*.parquet")):
        return
    query = (
        f"SELECT stock_name, {price}, change_rate FROM {view} "  # noqa: S608
        "ORDER BY trading_value DESC LIMIT 10"
    )
    database, python = str(folder / "market.duckdb"), str(bin_dir / "python")
    code = f"import duckdb; print(duckdb.connect({database!r}, read_only=True).sql('{query}'))"
    typed = f'{python} -c "{code}"'
    if set("\"'$`\\ ") & set(database + python):  # quoted simply, unless the path needs more
        typed = shlex.join([python, "-c", code])
    console.print(escape(f"  {typed}"), soft_wrap=True, highlight=False)

"""`report` and `site`: stored data as pages for a browser, without Dagster."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kis_assets.cli.common import OtherSource, app, note, plain_errors, quieten, settings_of

if TYPE_CHECKING:
    from kis_assets.lake.lake import Lake
    from kis_assets.settings import Settings

Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


@app.command()
def report(
    day: Annotated[
        str | None,
        typer.Option("--date", help="A stored day, YYYY-MM-DD; default: the newest one."),
    ] = None,
    is_to_open: Open = False,
    source: OtherSource = None,
) -> None:
    """Make the evening report of a stored day, a page in data/<source>/reports."""
    quieten()
    settings = settings_of(source)
    with plain_errors():
        from kis_assets.exchange import calendar
        from kis_assets.exchange.days import as_day
        from kis_assets.lake.reader import NotStored
        from kis_assets.report import page
        from kis_assets.report.daily_report import day_report

        wanted = as_day(day) or _newest(settings)
        if not calendar.is_trading_day(wanted):
            raise NotStored(f"{wanted} is not a trading day of KRX")
        lake = _lake(settings)
        found = day_report(lake, wanted, settings)
        if found is None:
            raise NotStored(
                f"neither prices nor daily candles of {wanted} are stored; "
                f"run: kis-assets run --date {wanted}"
            )
        html = page.page(found, lake.source, page.drawn(found, note))
        _show(page.store(lake, wanted, html), is_to_open)


@app.command()
def site(
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder; default: data/<source>/site.", file_okay=False),
    ] = None,
    is_to_open: Open = False,
    source: OtherSource = None,
) -> None:
    """Make a website of stored data: stocks, daily reports, condition. It needs no server.

    Unchanged files are left as they are.
    """
    quieten()
    settings = settings_of(source)
    with plain_errors():
        from rich.console import Console

        from kis_assets.site.build import build

        lake = _lake(settings)
        folder = (to or lake.folder / "site").absolute()
        with Console(stderr=True).status("reading") as status:
            made = build(settings, lake, folder, status.update)
        typer.echo(
            f"{made.stocks:,} stocks and {made.days} days in {made.size / 1e6:.1f} MB: "
            f"{made.written:,} files written, {made.unchanged:,} unchanged"
            + (f", {made.removed:,} removed" if made.removed else "")
        )
        _show(made.index, is_to_open)


def _lake(settings: Settings) -> Lake:
    from kis_assets.lake.lake import Lake

    return Lake(settings.source_dir, source=settings.source_name, replay_at=settings.kis_replay_at)


def _newest(settings: Settings) -> date:
    """The newest day for which a report can be made.

    Raises:
        NotStored: there is none.
    """
    from kis_assets.lake.reader import NotStored
    from kis_assets.market import Market
    from kis_assets.site.build import report_days

    with Market(settings.source_dir) as market:
        for day in report_days(market, 1):
            return day
    raise NotStored("neither prices nor daily candles are stored; run: kis-assets run")


def _show(path: Path, is_to_open: bool) -> None:
    typer.echo(str(path))
    if is_to_open:
        import webbrowser

        if not webbrowser.open(path.as_uri()):
            note(f"no browser was found: open {path} yourself")

"""`kis-assets publish`: publishes stored rows as Delta tables at `KIS_LAKE_URL`."""

from __future__ import annotations

from typing import Annotated

import typer

from kis_assets.cli.common import app, note, settings_of, stop


@app.command()
def publish(
    table: Annotated[str | None, typer.Argument(help="One table; all by default.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only name units that are not up to date.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all published rows back and compare them.")
    ] = False,
) -> None:
    """Publish what changed since the last time to KIS_LAKE_URL, as partitions of Delta tables."""
    settings = settings_of()
    if settings.kis_lake_url is None:
        raise stop("KIS_LAKE_URL is not set")
    from kis_assets.defs.resources import open_lake
    from kis_assets.lake.delta import Published, PublishError
    from kis_assets.tables import TABLES

    if table is not None and table not in TABLES:
        raise stop(f"{table!r} is not a table; there are {', '.join(TABLES)}")
    lake = open_lake(settings)
    brought, differing, beyond = 0, list[str](), list[str]()
    try:
        for name in [table] if table else TABLES:
            there = Published(lake, TABLES[name], settings.kis_lake_url)
            for unit in there.behind():
                if dry_run:
                    typer.echo(f"{name} {unit} is behind")
                elif there.bring(unit):
                    brought += 1
                    typer.echo(f"{name} {unit} -> {there.address}")
            beyond += [f"{name} {unit}" for unit in there.beyond()]
            if verify:
                differing += [f"{name} {unit}" for unit in there.differing()]
            if not dry_run:
                there.vacuum()
    except PublishError as error:
        raise stop(str(error), 1) from None
    if beyond:
        note(f"published, but no longer in the lake: {', '.join(beyond)}")
    if differing:
        raise stop(f"published rows differ from stored rows: {', '.join(differing)}", 1)
    if verify and beyond:
        raise stop("more is published than is stored", 1)
    if not dry_run:
        typer.echo(f"{brought} units published; the others are unchanged")
    if verify:
        typer.echo("all published rows equal the stored rows")

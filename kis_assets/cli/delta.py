"""`kis-assets publish`: publishes stored rows as Delta tables at `KIS_LAKE_URL`."""

from __future__ import annotations

from itertools import product
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
        bool,
        typer.Option(
            "--verify", help="Read all published rows back, and publish again what differs."
        ),
    ] = False,
) -> None:
    """Publish what changed since the last time to KIS_LAKE_URL, as partitions of Delta tables."""
    settings = settings_of()
    if settings.kis_lake_url is None:
        raise stop("KIS_LAKE_URL is not set")
    from kis_assets.defs.resources import lakes_beside, open_lake
    from kis_assets.lake.delta import Published
    from kis_assets.lake.delta_table import PublishError
    from kis_assets.lake.lakehouse import bring_over
    from kis_assets.tables import TABLES

    if table is not None and table not in TABLES:
        raise stop(f"{table!r} is not a table; there are {', '.join(TABLES)}")
    lakes = lakes_beside(open_lake(settings))
    brought, failed = 0, list[str]()
    differing, again, beyond = list[str](), list[str](), list[str]()
    for lake, name in product(lakes, [table] if table else TABLES):
        url, of = settings.kis_lake_url, TABLES[name]
        if not dry_run:
            outcome = bring_over(lake, of, url, typer.echo)
            brought += len(outcome.brought)
            if outcome.failure:
                failed.append(outcome.failure)
                continue
        try:
            there = Published(lake, of, url)
            for unit in there.behind() if dry_run else []:
                typer.echo(f"{name} {unit} is behind")
            beyond += [f"{name} {unit}" for unit in there.beyond()]
            units = there.differing() if verify else []
            if units and not dry_run:
                for unit in units:
                    there.bring(unit, again=True)
                    again.append(f"{name} {unit}")
                units = there.differing()
            differing += [f"{name} {unit}" for unit in units]
        except PublishError as error:
            failed.append(str(error))
    if failed:
        more = f"; and {len(failed) - 1} more tables failed" if failed[1:] else ""
        raise stop(failed[0] + more, 1)
    if beyond:
        note(f"published, but no longer in the lake: {', '.join(beyond)}")
    if again:
        note(f"differed from stored rows, and published again: {', '.join(again)}")
    if differing:
        raise stop(f"published rows differ from stored rows: {', '.join(differing)}", 1)
    if verify and beyond:
        raise stop("more is published than is stored", 1)
    if not dry_run:
        typer.echo(f"{brought} units published; the others are unchanged")
    if verify:
        typer.echo("all published rows equal the stored rows")

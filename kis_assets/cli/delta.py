"""`kis-assets publish`: what is stored, as Delta tables at `KIS_LAKE_URL`."""

from __future__ import annotations

from typing import Annotated

import typer

from kis_assets.cli.common import app, settings_of, stop


@app.command()
def publish(
    table: Annotated[str | None, typer.Argument(help="One table; all unless given.")] = None,
) -> None:
    """Write every stored unit as a partition of a Delta table at KIS_LAKE_URL."""
    settings = settings_of()
    if settings.kis_lake_url is None:
        raise stop("KIS_LAKE_URL is not set")
    from kis_assets.defs.resources import open_lake
    from kis_assets.lake import delta
    from kis_assets.tables import TABLES

    if table is not None and table not in TABLES:
        raise stop(f"{table!r} is no table; there are {', '.join(TABLES)}")
    lake = open_lake(settings)
    try:
        for name in [table] if table else TABLES:
            for unit in lake.units(TABLES[name]):
                target = delta.publish(lake, TABLES[name], unit, settings.kis_lake_url)
                typer.echo(f"{name} {unit} -> {target}")
    except delta.PublishError as error:
        raise stop(str(error), 1) from None

"""`kis-assets publish`: what is stored, as Delta tables at `KIS_LAKE_URL`."""

from __future__ import annotations

from typing import Annotated

import typer

from kis_assets.cli.common import app, stop


@app.command()
def publish(
    table: Annotated[str | None, typer.Argument(help="One table; all unless given.")] = None,
) -> None:
    """Write every stored unit as a partition of a Delta table at KIS_LAKE_URL."""
    from kis_assets.defs.resources import open_lake
    from kis_assets.lake import delta as publishing
    from kis_assets.settings import Settings, SettingsError
    from kis_assets.tables import TABLES

    try:
        settings = Settings.load()
        if settings.kis_lake_url is None:
            raise SettingsError("KIS_LAKE_URL is not set")
        if table is not None and table not in TABLES:
            raise SettingsError(f"{table!r} is no table; there are {', '.join(TABLES)}")
        lake = open_lake(settings)
        for name in [table] if table else TABLES:
            units = lake.units(TABLES[name])
            for unit in units:
                target = publishing.publish(lake, TABLES[name], unit, settings.kis_lake_url)
                typer.echo(f"{name} {unit} -> {target}")
    except (SettingsError, publishing.PublishError) as error:
        raise stop(str(error), 2 if isinstance(error, SettingsError) else 1) from None

"""`diff`: the changes between two versions of stored rows."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kis_assets.cli.answer import Answer, reading_command
from kis_assets.cli.common import TableName, app, plain_errors, settings_of, stop

if TYPE_CHECKING:
    from kis_assets.lake.lake import Lake
    from kis_assets.tables import Table


@app.command()
@reading_command
def diff(
    name: Annotated[str, TableName],
    partition: Annotated[
        str, typer.Argument(help="A stored day, month or year: 2026-03-17, 2026-03, 2026.")
    ],
    answer: Answer,
    since: Annotated[
        str | None,
        typer.Option(help="Compare with the version of this instant or day, in Seoul."),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 1 when there are changes.")
    ] = False,
) -> None:
    """Show changes in stored rows: added, removed, and altered cells with old and new values.

    Compares the newest version with the one before, or with the version of --since. fetched_at is
    not compared. The status is 0 with and without changes, unless --exit-code is given.
    """
    settings = settings_of()
    from kis_assets.lake.diff import compare
    from kis_assets.lake.lake import Lake
    from kis_assets.lake.queries import rows_of_frame
    from kis_assets.lake.scope import order_of
    from kis_assets.tables import TABLES

    if name not in TABLES:
        raise stop(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    table = TABLES[name]
    with plain_errors():
        first, last = _span(partition, table)
        lake = Lake(settings.source_dir, source=settings.source_name)
        before_at, newest_at = _instants(lake, table, first, since)
        order = order_of(table)
        before = lake.scan(table, as_of=before_at, first=first, last=last).collect().sort(order)
        after = lake.scan(table, first=first, last=last).collect().sort(order)
        # One line per cell: at most all columns of all rows.
        most = (before.height + after.height + 1) * len(table.columns)
        added, removed, altered, found = compare(table, before, after, most)
    answer.rows(*rows_of_frame(found), settings.source_name)
    if answer.is_for_people and before_at == newest_at:
        at = f"{newest_at.astimezone(settings.now().tzinfo):%Y-%m-%d %H:%M:%S}"
        typer.echo(f"{name} {partition}: there is only one version, of {at} (Seoul)")
    elif answer.is_for_people:
        when = "%Y-%m-%d %H:%M:%S"
        typer.echo(
            f"{name} {partition}: {added:,} rows added, {removed:,} removed, {altered:,} altered "
            f"from {before_at.astimezone(settings.now().tzinfo):{when}} "
            f"to {newest_at.astimezone(settings.now().tzinfo):{when}} (Seoul)"
        )
    if exit_code and not found.is_empty():
        raise typer.Exit(1)


def _span(partition: str, table: Table) -> tuple[date, date]:
    """The first and the last day of a partition."""
    from kis_assets.lake.lake import Scope

    try:
        span = table.span(partition)
        Scope(*span).unit(table)
    except ValueError:
        raise ValueError(
            f"{partition!r} is not a day, month or year of {table.name} within one stored file, "
            f"which holds a {table.unit}; write a day as 2026-03-17, a month as 2026-03"
        ) from None
    return span


def _instants(lake: Lake, table: Table, day: date, since: str | None) -> tuple[datetime, datetime]:
    """The times of the older and of the newest version.

    Raises:
        NotStored: there is no version, or no older one.
    """
    from kis_assets.exchange import calendar
    from kis_assets.lake.reader import NotStored
    from kis_assets.lake.remedies import remedy

    written = lake.written_at(table, day)
    if not written:
        key = f"{day:%Y-%m}" if table.partition == "month" else str(day)
        how = remedy(table.name, [(key, key)])
        raise NotStored(f"no {table.name} of {day} are stored; {how}")
    if since is None:
        # A single version has no changes: it is compared with itself.
        return written[-2:][0], written[-1]
    try:
        instant = datetime.fromisoformat(since)
    except ValueError:
        raise ValueError(
            f"--since {since!r} is not an instant; write 2026-03-17T15:40, or the day alone"
        ) from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=calendar.SEOUL)
    if instant < written[0]:
        raise NotStored(
            f"no version of {table.name} of {day} from before {since} exists; the oldest is of "
            f"{written[0].astimezone(calendar.SEOUL):%Y-%m-%d %H:%M:%S}"
        )
    return instant, written[-1]

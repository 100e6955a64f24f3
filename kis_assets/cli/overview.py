"""`kis-assets` without a command: what is stored, from which source, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets import __version__
from kis_assets.cli.answer import Answer, reading_command, say_mark
from kis_assets.cli.common import app, market_of, note, plain_errors, settings_of, stop
from kis_assets.lake.queries import Column

if TYPE_CHECKING:
    from kis_assets.market import Market
    from kis_assets.settings import Settings

_DAY = len("2026-03-17")
_COLUMNS = (
    *(Column("table", "VARCHAR"), Column("newest", "VARCHAR")),
    Column("rows", "BIGINT"),
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"kis-assets {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
@reading_command
def overview(
    ctx: typer.Context,
    answer: Answer,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            expose_value=False,
            callback=_say_version,
            help="Print the version and end.",
        ),
    ] = False,
) -> None:
    """Korean stock market data one can trust: KIS Open API into Parquet and DuckDB.

    Without a command it shows what is stored. An error is one sentence on standard error.

    Exit status: 0 done, even without rows; 1 failed or not stored; 2 wrong input or settings; 130
    Ctrl-C.
    """
    if ctx.invoked_subcommand is not None:
        if answer.is_asked:
            raise stop(f"options must follow the command: kis-assets {ctx.invoked_subcommand} ...")
        return
    settings = settings_of()
    folder = settings.source_dir
    is_stored = (folder / "market.duckdb").exists()
    if not answer.is_for_people:
        rows = []
        if is_stored:
            with plain_errors(), market_of(settings) as market:
                rows = list(_tables(market))
        answer.rows(_COLUMNS, rows, settings.source_name)
        return
    say_mark(settings.source_name)
    typer.echo(f"source {settings.source_name}: {settings.source_reason}")
    typer.echo(f"data   {folder}")
    if not is_stored:
        typer.echo("\nnothing is stored yet\nnext   kis-assets run")
        return
    with plain_errors(), market_of(settings) as market:
        rows = list(_tables(market))
        stored = {name: newest for name, newest, _ in rows}
        latest = _latest_session(market, settings) if stored.get("market_days") else ""
    typer.echo()
    answer.rows(_COLUMNS, rows)
    typer.echo()
    if stored.get("price_snapshots", "") < latest:
        typer.echo("next   kis-assets run")
    else:
        typer.echo('next   kis-assets ui, or kis-assets sql "FROM latest_prices LIMIT 5"')
    note("kis-assets --help lists all commands")


def _latest_session(market: Market, settings: Settings) -> str:
    """The day of the latest session that has begun, from the stored calendar."""
    from kis_assets.exchange import calendar

    query = "SELECT max(day)::VARCHAR FROM market_days WHERE is_open AND opens_at <= ?"
    _, ((latest,),) = market.rows(query, settings.kis_replay_at or calendar.now())
    return latest or ""


def _tables(market: Market) -> Iterator[tuple[str, str, int]]:
    """Each table with rows: its name, newest day and number of rows."""
    # `kis_assets.tables` would import Polars, which takes longer than this whole command.
    _, known = market.rows(
        "SELECT table_name, first(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE data_type = 'DATE' GROUP BY table_name"
    )
    parts: list[str] = []
    for name, clock in sorted(known):
        if not (units := market.units(name)):
            continue
        newest = f"'{units[-1]}'"
        if len(units[-1]) < _DAY:
            # Read only the file of the newest month or year.
            first = f"{units[-1]}-01-01"[:_DAY]
            since = f"FROM {name} WHERE {clock} >= DATE '{first}'"
            newest = f"(SELECT max({clock})::VARCHAR {since})"
        parts.append(f"SELECT '{name}', {newest}, (SELECT count(*) FROM {name})")  # noqa: S608
    found: list[tuple[Any, ...]] = market.rows(" UNION ALL ".join(parts))[1] if parts else []
    for name, newest, count in found:
        yield name, newest or "", count

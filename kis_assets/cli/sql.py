"""What is stored, without asking anybody: `sql`, `condition`, `find`, and the data dictionary."""

from __future__ import annotations

from typing import Annotated

import typer

from kis_assets.cli.common import app, market_of, plainly, settings_of, stop
from kis_assets.cli.output import AsCsv, AsJson, machine, show


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One query; - reads it from standard input.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Ask what is stored in SQL; `SHOW TABLES` names what there is, docs/tables.md explains it."""
    machine(as_json, as_csv)
    with plainly():
        text = typer.get_text_stream("stdin").read() if query == "-" else query
    if not text.strip():
        raise stop("the query is empty")
    with plainly(), market_of(settings_of()) as market:
        columns, rows = market.rows(text)
        show(columns, rows, as_json=as_json, as_csv=as_csv)


@app.command()
def condition(
    table: Annotated[str | None, typer.Argument(help="One table; all when left out.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, included.")] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Which days are available, degraded, pending or missing, and why; the newest day first."""
    machine(as_json, as_csv)
    with plainly(), market_of(settings_of()) as market:
        from kis_assets.lake.queries import conditions

        query, params = conditions(table, first, last)
        columns, rows = market.rows(query, *params)
        if table is not None and not rows:
            _, known = market.rows("SELECT DISTINCT table_name FROM dataset_condition ORDER BY 1")
            names = [name for (name,) in known]
            if table not in names:
                raise ValueError(f"no condition is kept of {table!r}; of {', '.join(names)} it is")
        show(columns, rows[::-1], as_json=as_json, as_csv=as_csv)


@app.command()
def find(
    text: Annotated[str, typer.Argument(help="A part of a name, or how a code begins.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find stocks by name or code in the newest stored list."""
    machine(as_json, as_csv)
    with plainly(), market_of(settings_of()) as market:
        from kis_assets.lake.queries import finding

        query, params = finding(text)
        columns, rows = market.rows(query, *params)
        show(columns, rows, as_json=as_json, as_csv=as_csv)
    if not rows:
        raise typer.Exit(1)


@app.command(hidden=True)
def docs(which: Annotated[str, typer.Argument(help="tables or checks")] = "tables") -> None:
    """Print docs/tables.md or docs/trust.md, made from the code of this version."""
    from kis_assets.cli import docs_pages

    pages = {"tables": docs_pages.tables_page, "checks": docs_pages.checks_page}
    if which not in pages:
        raise stop(f"there is no page {which!r}; there are {' and '.join(pages)}")
    typer.echo(pages[which](), nl=False)

"""Commands that only read stored data: `sql`, `condition`, `find`, `files`, the dictionary."""

from __future__ import annotations

from typing import Annotated

import typer

from kis_assets.cli.answer import Answer, reading_command, say_mark
from kis_assets.cli.common import (
    FirstDay,
    TableName,
    app,
    market_of,
    note,
    plain_errors,
    settings_of,
    stop,
)


@app.command()
@reading_command
def sql(
    query: Annotated[str, typer.Argument(help="A query; - reads it from standard input.")],
    answer: Answer,
) -> None:
    """Query stored data in SQL; `SHOW TABLES` lists the tables, docs/tables.md explains them."""
    with plain_errors():
        text = typer.get_text_stream("stdin").read() if query == "-" else query
    if not text.strip():
        raise stop("the query is empty")
    settings = settings_of()
    with plain_errors(), market_of(settings) as market:
        found = market.answers(text)
        missing = "" if any(rows for _, rows in found) else market.remedy(text)
    if len(found) > 1 and not answer.is_for_people:
        raise stop(
            f"{len(found)} queries have several answers, but --json, --csv or --to FILE takes "
            "one: run them one by one"
        )
    for number, (columns, rows) in enumerate(found):
        if number:
            typer.echo()
        answer.rows(columns, rows, "" if number else settings.source_name, of_query=True)
    if missing:
        note(f"the data of this query is not stored yet; {missing}")


@app.command()
@reading_command
def condition(
    answer: Answer,
    table: Annotated[str | None, TableName] = None,
    first: FirstDay = None,
) -> None:
    """Show which days are available, degraded, pending or missing, and why; newest day first."""
    settings = settings_of()
    with plain_errors(), market_of(settings) as market:
        from kis_assets.lake.queries import conditions

        query, params = conditions(table, first, answer.last)
        columns, rows = market.rows(query, *params)
        if table is not None and not rows:
            _, known = market.rows("SELECT DISTINCT table_name FROM dataset_condition ORDER BY 1")
            names = [name for (name,) in known]
            if table not in names:
                raise ValueError(
                    f"{table!r} has no condition; these tables have one: {', '.join(names)}"
                )
        answer.rows(columns, rows[::-1], settings.source_name)


@app.command()
@reading_command
def find(
    text: Annotated[str, typer.Argument(help="A part of a name, or the beginning of a code.")],
    answer: Answer,
) -> None:
    """Find stocks by Korean or English name or by code, in the newest stored list."""
    settings = settings_of()
    with plain_errors(), market_of(settings) as market:
        from kis_assets.lake.naming import finding

        query, params = finding(text)
        with market.needing("stock_master"):
            columns, rows = market.rows(query, *params)
        answer.rows(columns, rows, settings.source_name)
        has_english = bool(market.rows("SELECT 1 FROM stock_info LIMIT 1")[1])
    if not rows and text.isascii() and not has_english:
        note("English names are not stored yet; run: kis-assets run --table stock_info")


@app.command()
def files(
    table: Annotated[str, TableName],
    first: FirstDay = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day, month or year.")] = None,
) -> None:
    """The Parquet files of a table's rows, for any engine: they never change while it reads."""
    settings = settings_of()
    with plain_errors(), market_of(settings) as market:
        found = market.files(table, first, last)
    say_mark(settings.source_name)
    for path in found:
        typer.echo(path)


@app.command(hidden=True)
def docs(which: Annotated[str, typer.Argument(help="tables or checks")] = "tables") -> None:
    """Print docs/tables.md or docs/trust.md, generated from the code of this version."""
    from kis_assets.cli import docs_pages

    pages = {"tables": docs_pages.tables_page, "checks": docs_pages.checks_page}
    if which not in pages:
        raise stop(f"there is no page {which!r}; there are {' and '.join(pages)}")
    typer.echo(pages[which](), nl=False)

"""Commands that request data from the source or its cache: `quote`, `book`, `candles`, ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from kis_assets.cli import bars
from kis_assets.cli.answer import Answer, reading_command
from kis_assets.cli.bars import Period
from kis_assets.cli.common import (
    FirstDay,
    app,
    codes_of,
    market_of,
    most_traded,
    note,
    note_stale,
    plain_errors,
    quieten,
    settings_of,
    stop,
)
from kis_assets.lake.queries import Column

if TYPE_CHECKING:
    from kis_assets.settings import Settings
    from kis_assets.sources.base import DataSource
    from kis_assets.sources.batch import BatchResult
    from kis_assets.sources.record_types import OrderBook

_STOCK = "Code such as 005930, a name, or a unique part of a name."
Several = Annotated[list[str], typer.Argument(metavar="CODE...", help=_STOCK)]


class Kind(Enum):
    """The kinds of records that `warm` can cache."""

    PRICE = "price"
    CHART = "chart"
    INFO = "info"
    ORDERBOOK = "orderbook"


@app.command()
@reading_command
def quote(stocks: Several, answer: Answer) -> None:
    """Show current prices (현재가), from the source or its cache."""
    from kis_assets.sources.record_types import CurrentPrice

    columns = _columns(CurrentPrice)
    answer.expect((*columns, "source"))
    settings = settings_of()
    with plain_errors(), _source(settings) as source:
        result = source.get_current_prices_batch(codes_of(stocks, settings))
    if found := list(result["success"].values()):
        note_stale(found)
        answer.rows(columns, [_cells(one, columns) for one in found], settings.source_name)
    _tell_failed(result)


@app.command()
@reading_command
def book(stocks: Several, answer: Answer) -> None:
    """Show current order books (호가): asks above bids, with the best prices in the middle."""
    from kis_assets.sources.record_types import OrderBook

    if answer.as_json:
        answer.expect((*(it.name for it in fields(OrderBook)), "source"))
    else:
        answer.expect((*_LEVEL, "source"))
    settings = settings_of()
    with plain_errors(), _source(settings) as source:
        result = source.get_order_books_batch(codes_of(stocks, settings))
    found = list(result["success"].values())
    if found and answer.as_json:
        books = [asdict(one) for one in found]
        answer.rows(list(books[0]), [list(it.values()) for it in books], settings.source_name)
    elif found and not answer.is_for_people:
        levels = [level for one in found for level in _ladder(one)]
        answer.rows(_LEVEL, levels, settings.source_name)
    elif found:
        note_stale(found)
        for number, one in enumerate(found):
            if number:
                typer.echo()
            # A person reads it from the highest price down; the stock is named below.
            levels = sorted(_ladder(one), key=lambda level: -level[3])
            columns, rows = _LEVEL, levels
            if answer.chosen is None:
                columns, rows = _LEVEL[1:], [level[1:] for level in levels]
            answer.rows(columns, rows, "" if number else settings.source_name)
            if answer.chosen is None:
                about = asdict(one)
                answer.record({name: about[name] for name in about if not name.endswith(_HIDDEN)})
    _tell_failed(result)


@app.command()
@reading_command
def candles(
    stocks: Several,
    answer: Answer,
    first: FirstDay = None,
    period: Annotated[
        Period, typer.Option("--type", case_sensitive=False, help="Period of a candle.")
    ] = Period.DAILY,
    adjusted: Annotated[
        bool,
        typer.Option(
            "--adjusted/--raw",
            help="Adjust to the share count of the newest stored day; needs --stored.",
        ),
    ] = False,
    stored: Annotated[
        bool, typer.Option("--stored", help="Read stored candles instead of requesting them.")
    ] = False,
    count: Annotated[
        int, typer.Option(min=1, help="Number of newest candles, without --from.")
    ] = 30,
) -> None:
    """Show candles (봉), oldest first: from the source, or with --stored from the disk.

    Prices from the source are raw (minute candles are split-adjusted as of now). They are cached
    for a while, but not stored.
    """
    if adjusted and not (stored and period is Period.DAILY):
        raise stop("--adjusted is for stored daily candles: add --stored, and leave out --type")
    settings = settings_of()
    with plain_errors():
        from kis_assets.exchange.days import span

        days = span(first, answer.last)
        if not stored:
            answer.expect((_CODE, *bars.asked_columns(period), "source"))
        codes = codes_of(stocks, settings)
        found: list[tuple[list[str], list[list[Any]]]] = []
        if stored:
            with market_of(settings) as market:
                found = [bars.from_lake(market, code, period, days, adjusted) for code in codes]
        else:
            today = settings.now().date()
            with _source(settings) as source:
                found = [
                    bars.from_source(source, code, period, days, today, count) for code in codes
                ]
    rows = [
        [code, *row]
        for code, (_, of_stock) in zip(codes, found, strict=True)
        for row in (of_stock if days[0] else of_stock[-count:])
    ]
    columns = [_CODE, *found[0][0]]
    if answer.is_for_people and answer.chosen is None and len(codes) == 1:
        columns, rows = columns[1:], [row[1:] for row in rows]
    most = max(count, 100) * len(codes)
    answer.rows(columns, rows, settings.source_name, most=most, newest=True)


@app.command()
@reading_command
def info(stocks: Several, answer: Answer) -> None:
    """Show facts about stocks: market, sector, industry, shares (종목정보)."""
    from kis_assets.sources.record_types import StockInfo

    columns = _columns(StockInfo)
    answer.expect((*columns, "source"))
    settings = settings_of()
    with plain_errors(), _source(settings) as source:
        found = [source.get_stock_info(code) for code in codes_of(stocks, settings)]
    answer.rows(columns, [_cells(one, columns) for one in found], settings.source_name)


@app.command()
@reading_command
def warm(
    answer: Answer,
    stocks: Annotated[list[str] | None, typer.Argument(metavar="[CODE]...", help=_STOCK)] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="This number of the most traded stocks in the newest capture."),
    ] = None,
    kinds: Annotated[
        list[Kind] | None,
        typer.Option(
            "--type",
            case_sensitive=False,
            help="What to cache; may be repeated. Default: all except orderbook.",
        ),
    ] = None,
) -> None:
    """Fill the cache, so that programs get these answers at once later."""
    if bool(stocks) == bool(top):
        raise stop("say which stocks: codes or names, or --top 100")
    settings = settings_of()
    if settings.source_type == "mock":
        note("the invented market has no cache: nothing is kept")
    wanted = [kind.value for kind in kinds or (Kind.PRICE, Kind.CHART, Kind.INFO)]
    with plain_errors(), _source(settings) as source:
        from kis_assets.monitoring.costs import LONG, duration
        from kis_assets.monitoring.status import granted

        codes = codes_of(stocks, settings) if stocks else most_traded(settings, top or 0)
        # One request each; only the real server answers thirty prices at once.
        seconds = len(codes) * len(wanted) / granted(settings)
        if settings.source_type == "kis" and seconds >= LONG:
            note(f"this takes up to {duration(seconds)}, at the rate that KIS grants")
        result = source.warm_cache(codes, wanted)
    rows = [(kind, result[kind]["succeeded"], result[kind]["failed"]) for kind in wanted]
    answer.rows(("type", "succeeded", "failed"), rows)
    if answer.is_for_people:
        typer.echo(f"{len(codes)} stocks in {result['total_duration_seconds']} s")
    if any(failed for _, _, failed in rows):
        raise typer.Exit(1)


def _source(settings: Settings) -> DataSource:
    from kis_assets.sources.factory import create_data_source

    quieten()
    return create_data_source(settings=settings)


def _tell_failed(result: BatchResult[Any]) -> None:
    """Print the failed stocks of a batch on standard error; the status is 1 then."""
    for code, error in result["failed"].items():
        stop(str(error) if code in str(error) else f"{code}: {error}")
    if result["failed"]:
        raise typer.Exit(1)


def _columns(kind: type) -> list[Column]:
    """The columns of records of this kind, the most important ones first."""
    kinds = get_type_hints(kind)
    return [
        Column(name, _INSTANT if name == "timestamp" else _KINDS[(get_args(it) or (it,))[0]])
        for name, it in sorted(kinds.items(), key=lambda it: (*_FIRST, it[0]).index(it[0]))
        if not name.endswith(_HIDDEN)
    ]


def _cells(one: Any, columns: Sequence[Column]) -> list[Any]:
    """The fields of a record in these columns; instants are datetimes, not text."""
    cells = [getattr(one, name) for name in columns]
    return [
        datetime.fromisoformat(cell) if cell and name.kind == _INSTANT else cell
        for name, cell in zip(columns, cells, strict=True)
    ]


def _ladder(one: OrderBook) -> list[tuple[str, str, int, int, int]]:
    """The levels of a book in the columns of `_LEVEL`, the best one of each side first."""
    return [
        (one.stock_code, side, number, level.price, level.volume)
        for side, levels in (("ask", one.ask_levels), ("bid", one.bid_levels))
        for number, level in enumerate(levels, start=1)
    ]


_INSTANT = "TIMESTAMP WITH TIME ZONE"
_KINDS = {int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
_CODE = Column("stock_code", "VARCHAR")
_LEVEL = (
    *(_CODE, Column("side", "VARCHAR")),
    *(Column(name, "BIGINT") for name in ("level", "price", "volume")),
)
_HIDDEN = ("_levels", "is_stale", "age_seconds")
_FIRST = (
    *("stock_code", "stock_name", "current_price", "change_rate", "session"),
    *("volume", "trading_value"),
)
"""The most important fields: a narrow terminal omits the rest."""

"""`kis-assets stream`: prints trades and order books of some stocks as they happen."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets.cli.common import app, codes_of, most_traded, note, plain_errors, settings_of, stop
from kis_assets.cli.output import dump

if TYPE_CHECKING:
    from kis_assets.kis.stream_records import RealTime
    from kis_assets.settings import Settings


@app.command()
def stream(
    stocks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CODE]...", help="Codes such as 005930, or names."),
    ] = None,
    codes: Annotated[str, typer.Option(help="The same, separated by commas: 005930,000660.")] = "",
    top: Annotated[
        int,
        typer.Option(min=0, help="This number of the most traded stocks in the newest capture."),
    ] = 0,
    books: Annotated[bool, typer.Option("--books", help="Also follow order books.")] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Record them in the tables trades and order_book_ticks.")
    ] = False,
    service: Annotated[
        bool, typer.Option("--service", help="Record every session from now on.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after this time; default: until Ctrl-C.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one CSV row per record.")] = False,
) -> None:
    """Follow trades of some stocks as they happen: up to 41 per key, 20 with order books."""
    import sqlite3

    from kis_assets.cli import stream_store
    from kis_assets.defs.resources import open_lake
    from kis_assets.exchange import calendar
    from kis_assets.settings import SettingsError

    given = settings = settings_of()
    show = _printer(as_json, as_csv, books, settings.source_name)
    words = [*(stocks or ()), *filter(None, codes.split(","))]
    if not words and not top:
        raise typer.BadParameter("which stocks? Give codes or names, or --top 20")
    clock = calendar.now
    with plain_errors(), ExitStack() as stack:
        try:
            if settings.source_type == "krx":
                raise SettingsError("DATA_SOURCE_TYPE=krx has no real-time feed: use kis or mock")
            if service and settings.source_type == "mock":
                raise SettingsError(
                    "the invented market has no sessions to wait for: use --store without "
                    "--service, or set KIS_APP_KEY"
                )

            def watch_list() -> list[str]:
                found = codes_of(words, given)
                return list(dict.fromkeys([*found, *(most_traded(given, top) if top else ())]))

            wanted = watch_list()
            if settings.source_type == "mock":
                settings, clock = stack.enter_context(_mock(settings))
            names = _known(settings, wanted)
            if service:
                stream_store.serve(settings, open_lake(given), watch_list, with_books=books)
            elif store:
                stream_store.record(
                    settings,
                    open_lake(given),
                    wanted,
                    names,
                    with_books=books,
                    seconds=seconds,
                    clock=clock,
                )
            else:
                _print(settings, wanted, books, seconds, show)
        except sqlite3.Error as error:
            raise stop(str(error), 1) from None
        except KeyboardInterrupt:
            return


def _print(
    settings: Settings,
    codes: list[str],
    books: bool,
    seconds: float | None,
    show: Callable[[Iterable[RealTime]], None],
) -> None:
    from kis_assets.kis.stream import Stream

    with Stream(settings, codes, ("trade", "book") if books else ("trade",)) as found:
        timer = threading.Timer(seconds or 0, found.close)
        timer.daemon = True
        if seconds is not None:
            timer.start()
        try:
            show(found)
        finally:
            timer.cancel()


def _known(settings: Settings, codes: list[str]) -> dict[str, str]:
    """The names of stocks, if the master files are available.

    Raises:
        InvalidRequest: a stock is not listed. KIS would accept its registration, but no record
            would ever arrive.
    """
    from kis_assets.errors import InvalidRequest, KISError
    from kis_assets.kis.client import Client
    from kis_assets.sources.cached import open_store
    from kis_assets.sources.listing import Listing

    client = Client(settings)
    try:
        listing = Listing(client, open_store(settings))
        return {code: listing.info(code).stock_name or "" for code in codes}
    except InvalidRequest:
        raise
    except KISError as error:
        note(f"cannot check whether these stocks are listed: {error}")
        return {}
    finally:
        client.close()


def _printer(
    as_json: bool, as_csv: bool, books: bool, source: str
) -> Callable[[Iterable[RealTime]], None]:
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: choose one")
    if as_csv and books:
        raise typer.BadParameter("trades and order books have different columns: use --json")
    if not (as_json or as_csv):
        return _print_lines
    return partial(_print_json if as_json else _print_csv, source=source)


def _print_json(records: Iterable[RealTime], source: str) -> None:
    for record in records:
        print(dump({**record.row(), "source": source}), flush=True)  # noqa: T201


def _print_csv(records: Iterable[RealTime], source: str) -> None:
    import csv

    writer: csv.DictWriter[str] | None = None
    for record in records:
        row = {name: _text(value) for name, value in record.row().items()} | {"source": source}
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        sys.stdout.flush()


def _print_lines(records: Iterable[RealTime]) -> None:
    from kis_assets.kis.stream_records import BookUpdate, Trade

    for record in records:
        if not isinstance(record, Trade | BookUpdate):
            print(dump(record.row()), flush=True)  # noqa: T201
            continue
        if isinstance(record, Trade):
            text = (
                f"{record.traded_at:%H:%M:%S}  {record.stock_code}  {record.price:>11,} KRW  "
                f"{record.change_rate:+7.2f} %  {record.quantity:>10,} {record.side or '':<4}  "
                f"day {record.volume:,}"
            )
        else:
            ask, bid = (levels[0] if levels else (0, 0) for levels in (record.asks, record.bids))
            text = (
                f"{record.booked_at:%H:%M:%S}  {record.stock_code}  "
                f"bid {bid[0]:,} x {bid[1]:,}  ask {ask[0]:,} x {ask[1]:,}"
            )
        if record.session not in (None, "regular"):
            text += f"  {record.session}"
        print(text, flush=True)  # noqa: T201


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


_FASTER = 10


@contextmanager
def _mock(settings: Settings) -> Generator[tuple[Settings, Callable[[], datetime]]]:
    """Settings for an invented market, served in this process, and its clock.

    It continues from 10:00 of its latest session, so that there are trades at any hour. Its time
    passes fast, because a stock trades only three times a minute.
    """
    from kis_assets.exchange import calendar
    from kis_assets.simulator.market.model import ModelMarket
    from kis_assets.simulator.server.http import serve
    from kis_assets.simulator.server.server import Simulator
    from kis_assets.sources.mock import IN_PROCESS

    began = calendar.now()
    start = calendar.latest_session(settings.now()).opens_at + timedelta(hours=1)

    def clock() -> datetime:
        return start + _FASTER * (calendar.now() - began)

    typer.secho(
        f"MOCK DATA - an invented market, because {settings.source_reason}; it is "
        f"{start:%Y-%m-%d %H:%M} there, and time passes {_FASTER} times as fast. "
        "Nothing in it is real.",
        fg="yellow",
        err=True,
    )
    server = Simulator(ModelMarket(clock=clock), rate_limit=0, clock=calendar.now)
    with TemporaryDirectory(prefix="kis-assets-mock-") as folder, serve(server) as url:
        changed = {
            "kis_api_base_url_real": url,
            "kis_master_base_url": url,
            "kis_ws_url_real": url.replace("http", "ws", 1),
            "kis_data_dir": Path(folder),
        }
        yield settings.model_copy(update=IN_PROCESS | changed), clock

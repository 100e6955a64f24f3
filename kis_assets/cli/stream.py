"""`kis-assets stream`: trades and order books of some stocks as they happen, on standard output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kis_assets.cli.common import app, settings_of, stop
from kis_assets.cli.output import dump

if TYPE_CHECKING:
    from kis_assets.kis.stream_records import RealTime
    from kis_assets.settings import Settings


@app.command()
def stream(
    codes: Annotated[list[str], typer.Argument(help="Stock codes, such as 005930.")],
    books: Annotated[bool, typer.Option("--books", help="Order books too.")] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End after so long; with Ctrl-C unless given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row a record.")] = False,
) -> None:
    """Print trades of some stocks as they happen: a watch list of up to 41, 20 with order books."""
    from kis_assets.errors import KISError
    from kis_assets.kis.stream import Stream
    from kis_assets.settings import SettingsError

    show = _printer(as_json, as_csv, books)
    settings = settings_of()
    with ExitStack() as stack:
        try:
            if settings.source_type == "krx":
                raise SettingsError("DATA_SOURCE_TYPE=krx has no real-time feed: use kis or mock")
            if settings.source_type == "mock":
                settings = stack.enter_context(_mock(settings))
            found = stack.enter_context(
                Stream(settings, codes, ("trade", "book") if books else ("trade",))
            )
            timer = threading.Timer(seconds or 0, found.close)
            timer.daemon = True
            if seconds is not None:
                timer.start()
                stack.callback(timer.cancel)
            show(found)
        except (KISError, SettingsError) as error:
            raise stop(str(error), 2 if isinstance(error, ValueError) else 1) from None
        except KeyboardInterrupt:
            return


def _printer(as_json: bool, as_csv: bool, books: bool) -> Callable[[Iterable[RealTime]], None]:
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv cannot both be given")
    if as_csv and books:
        raise typer.BadParameter("trades and order books have other columns: take --json")
    return _print_json if as_json else _print_csv if as_csv else _print_lines


def _print_json(records: Iterable[RealTime]) -> None:
    for record in records:
        print(dump(record.row()), flush=True)  # noqa: T201


def _print_csv(records: Iterable[RealTime]) -> None:
    import csv

    writer: csv.DictWriter[str] | None = None
    for record in records:
        row = {name: _text(value) for name, value in record.row().items()}
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
def _mock(settings: Settings) -> Generator[Settings]:
    """Settings for an invented market that a server in this process puts on the wire.

    It goes on from 10:00 of its latest session, so that there is something to see at any hour, and
    fast, because a stock there trades three times a minute.
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
        yield settings.model_copy(
            update=IN_PROCESS
            | {
                "kis_api_base_url_real": url,
                "kis_master_base_url": url,
                "kis_ws_url_real": url.replace("http", "ws", 1),
                "kis_data_dir": Path(folder),
            }
        )

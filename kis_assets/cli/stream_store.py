"""`kis-assets stream --store`: records the followed stocks and shows the progress."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kis_assets.cli import output
from kis_assets.monitoring import json_log

if TYPE_CHECKING:
    from kis_assets.lake.lake import Lake
    from kis_assets.settings import Settings
    from kis_assets.ticks.following import Following

_LINE_EVERY = 60.0
"""Seconds between two lines of output without a terminal."""


def record(
    settings: Settings,
    lake: Lake,
    codes: list[str],
    names: dict[str, str],
    *,
    with_books: bool,
    seconds: float | None,
    clock: Callable[[], datetime],
) -> None:
    """Record stocks until the time is up or the user ends it; show rates, prices and gaps.

    Raises:
        KISError: a session failed for good.
        LakeError: another process records this day.
    """
    from rich.live import Live

    from kis_assets.exchange import calendar
    from kis_assets.ticks.following import STAYS, Following

    console = output.console()
    given = time.monotonic() + (seconds if seconds is not None else float("inf"))
    with Following(settings, lake, codes, with_books=with_books, clock=clock) as following:
        console.print(f"recording {len(codes)} stocks in {lake.folder / 'live'}", highlight=False)
        said = time.monotonic()
        session = calendar.session(following.day)
        until = session.over_at + STAYS if session else clock()

        def is_going_on() -> bool:
            return time.monotonic() < given and clock() < until

        if console.is_terminal:
            with Live(console=console, refresh_per_second=2) as live:
                window = deque([(time.monotonic(), following.records.copy())], maxlen=20)
                while is_going_on() and not following.wait(0.5):
                    since, before = window[0]
                    live.update(_page(following, names, before, time.monotonic() - since))
                    window.append((time.monotonic(), following.records.copy()))
        else:
            while is_going_on() and not following.wait(min(1.0, given - time.monotonic())):
                if time.monotonic() - said >= _LINE_EVERY:
                    said = time.monotonic()
                    console.print(_line(following), highlight=False)
    console.print(_line(following), highlight=False)
    if clock() >= until:
        console.print(
            f"Trading of {following.day} is over; to store it: kis-assets run "
            f"--date {following.day} --table stream_gaps --table trades --table order_book_ticks"
        )


def serve(
    settings: Settings, lake: Lake, watch_list: Callable[[], list[str]], *, with_books: bool
) -> None:
    """Record every session from now on, until SIGTERM or Ctrl-C.

    Raises:
        KISError: the watch list cannot be followed.
    """
    from kis_assets.execution.recording import Recording

    if not json_log.begin(settings, logging.INFO):
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recording = Recording(settings, lake, watch_list, with_books=with_books)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end like Ctrl-C
    recording.run()


def _line(following: Following) -> str:
    stored = following.stored
    return (
        f"{stored['trades']:,} trades and {stored['order_book_ticks']:,} order books of "
        f"{following.day} stored, {stored['stream_gaps']} gaps, "
        f"{following.feed.reconnects} reconnects"
        + (f", {strays} records left out" if (strays := following.recorder.strays) else "")
    )


def _page(
    following: Following, names: dict[str, str], before: Mapping[str, int], seconds: float
) -> Any:
    """The table of stocks: last trade, records, and records per second since `before`."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), caption=_line(following), caption_justify="left")
    for name in ("code", "name", "time", "price", "change", "volume", "records", "a second"):
        is_text = name in ("code", "name", "time")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for code in following.codes:
        trade = following.last.get(code)
        known = ("", "", "", "")
        if trade is not None:
            known = (
                f"{trade.traded_at:%H:%M:%S}",
                f"{trade.price:,}",
                f"{trade.change_rate:+.2f} %",
                f"{trade.volume:,}",
            )
        count = following.records[code]
        rate = f"{(count - before.get(code, 0)) / seconds:.1f}"
        table.add_row(code, names.get(code, ""), *known, f"{count:,}", rate)
    return table

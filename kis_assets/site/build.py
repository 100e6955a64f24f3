"""The site of a lake: a folder of pages that need a browser and nothing else.

Every file is made of what is stored alone, so that the same rows give the same bytes: a file that
would come out as it is stays as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path

import polars as pl

from kis_assets.exchange.calendar import SEOUL
from kis_assets.lake.lake import Lake
from kis_assets.lake.reader import NotStored
from kis_assets.market import Market
from kis_assets.report.daily_report import day_report
from kis_assets.report.figures import figures
from kis_assets.report.page import style
from kis_assets.settings import Settings
from kis_assets.site import stocks as of_stocks
from kis_assets.site.pages import Pages

DAYS = 60
"""Newest stored days that have an evening report."""
_CHARTS = "lightweight-charts"
_OURS = b"// kis-assets site:"
"""How the first file of a site begins: a folder that has it may be written to."""
_CHANGING = re.compile(r"stocks/[0-9A-Z]{6,7}\.js|days/\d{4}-\d\d-\d\d\.html")
"""Files of ours that are there one day and not the next."""
Progress = Callable[[str], None]


@dataclass
class Made:
    """What became of the files of a site."""

    index: Path
    written: int = 0
    unchanged: int = 0
    removed: int = 0
    size: int = 0
    """Bytes of all files."""
    stocks: int = 0
    days: int = 0


def build(settings: Settings, lake: Lake, folder: Path, progress: Progress) -> Made:
    """Make the site of a lake in a folder, or bring it up to date.

    Args:
        settings: those of the lake, for which stocks a report expects.
        lake: what is stored.
        folder: where the site goes: new, empty, or a site already.
        progress: is told in a few words what is being made.

    Raises:
        NotStored: neither prices nor daily candles are stored.
        ValueError: the folder holds something else.
        OSError: a file cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise ValueError(f"{folder} is not empty and holds no site: choose another folder")
    made = Made(folder / "index.html")
    with Market(lake.folder, replay_at=settings.kis_replay_at) as market:
        progress("reading the stocks")
        stocks = of_stocks.all_stocks(market)
        if stocks.is_empty():
            raise NotStored("neither prices nor daily candles are stored; run: kis-assets run")
        made.stocks = stocks.height
        kept: set[str] = set()
        for name, content in _files(settings, lake, market, stocks, made, progress):
            _write(folder / name, content, made)
            kept.add(name)
    for path in (*folder.glob("stocks/*"), *folder.glob("days/*")):
        name = path.relative_to(folder).as_posix()
        if _CHANGING.fullmatch(name) and name not in kept:  # it is not stored any more, or older
            path.unlink()
            made.removed += 1
    return made


def _files(
    settings: Settings,
    lake: Lake,
    market: Market,
    stocks: pl.DataFrame,
    made: Made,
    progress: Progress,
) -> Iterator[tuple[str, bytes]]:
    """Every file of the site, the index last: what it leads to is there before it."""
    static = files("kis_assets.site") / "static"
    for name in ("site.js", "stock.js"):
        yield name, (static / name).read_bytes()
    yield "site.css", (style() + (static / "site.css").read_text(encoding="utf-8")).encode()
    for file in (static / _CHARTS).iterdir():
        yield f"{_CHARTS}/{file.name}", file.read_bytes()

    progress("writing the stocks")
    for code, script in of_stocks.stock_scripts(market, stocks):
        yield f"stocks/{code}.js", script
    yield "market.js", of_stocks.market_script(stocks)

    days = report_days(market, DAYS)[::-1]
    made.days = len(days)
    named = stocks.drop_nulls("english_name").select("stock_code", "english_name")
    pages = Pages(lake.source, _stored_at(market), days, dict(named.iter_rows()))
    known = frozenset(stocks["stock_code"])
    for day in days:
        progress(f"writing the report of {day}")
        report = day_report(lake, day, settings)
        if report is not None:
            yield f"days/{day}.html", pages.day(report, known).encode()

    condition = market.condition()
    yield "condition.html", pages.condition(condition).encode()
    yield "stock.html", pages.stock().encode()
    newest = figures(lake, days[-1], {}, settings) if days else None
    indices = newest.indices if newest else pl.DataFrame()
    yield "index.html", pages.index(indices, condition).encode()


def report_days(market: Market, count: int) -> list[date]:
    """The newest days that an evening report can be made of, the newest first."""
    return market.sql(
        "SELECT trading_day FROM price_snapshots UNION SELECT trading_day FROM daily_candles "
        "ORDER BY trading_day DESC LIMIT ?",
        count,
    )["trading_day"].to_list()


def _stored_at(market: Market) -> str:
    """When the newest row that a page shows was fetched. Not now: pages would never be the same."""
    newest = " UNION ALL ".join(
        f"SELECT max(fetched_at) AS newest FROM {it}"  # noqa: S608
        for it in ("stock_master", "price_snapshots", "order_books", "daily_candles")
    )
    at = market.sql(f"SELECT max(newest) AS newest FROM ({newest})")["newest"][0]  # noqa: S608
    return f"{at.astimezone(SEOUL):%Y-%m-%d %H:%M}"


def _is_ours(folder: Path) -> bool:
    try:
        return (folder / "site.js").read_bytes().startswith(_OURS)
    except OSError:
        return False


def _write(path: Path, content: bytes, made: Made) -> None:
    """Write a file, whole or not at all, unless it is there as it should be."""
    made.size += len(content)
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            made.unchanged += 1
            return
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # No fsync for thousands of files: what a crash takes is made again.
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    aside.write_bytes(content)
    aside.replace(path)
    made.written += 1

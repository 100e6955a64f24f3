"""The page of a day: its frames as HTML that needs only a browser."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from kis_assets.exchange.calendar import SEOUL
from kis_assets.exchange.venues import is_invented
from kis_assets.lake.lake import Lake
from kis_assets.report.daily_report import WINDOW, DayReport
from kis_assets.report.figures import WHO
from kis_assets.security.ownership import put

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_SHOWN = {
    "breadth": "How many stocks rose and fell, and by how much",
    "candles": "Daily candles of the most traded stock",
    "condition": "Which table has which day",
}


def drawn(report: DayReport, warn: Callable[[str], None]) -> dict[str, str]:
    """The pictures as `data:` addresses, by name; empty for a picture that cannot be drawn."""
    from kis_assets.charts import market, stock

    def address(draw: Callable[[], bytes]) -> str:
        try:
            return f"data:image/png;base64,{base64.b64encode(draw()).decode()}"
        except Exception as error:
            warn(f"the report lacks a picture: {error!r}")
            return ""

    return {
        "breadth": address(lambda: market.market_breadth(report.quotes)),
        "candles": address(lambda: stock.candlestick(report.candles, leader(report))),
        "condition": address(lambda: market.condition_calendar(report.condition)),
    }


def leader(report: DayReport) -> str:
    """The name of the most traded stock; empty where nothing was traded."""
    return report.leaders["stock_name"][0] if report.leaders.height else ""


def environment(*packages: tuple[str, str]) -> Environment:
    """Templates of the report, and of other packages before them.

    Everything put into a page is escaped: a stock may be called anything.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(*it) for it in (*packages, (__package__ or "", ""))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> str:
    """The style of every page, which says what colour means what."""
    return (files("kis_assets.report") / "style.css").read_text(encoding="utf-8")


def page(report: DayReport, source: str, pictures: Mapping[str, str]) -> str:
    """The page as HTML that needs no other file, with the pictures that could be `drawn`."""
    from markupsafe import Markup

    from kis_assets.charts import canvas

    shown = {
        name: Markup('<img src="{}" alt="{}">').format(address, _SHOWN[name]) if address else ""
        for name, address in pictures.items()
    }
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            content(report, str.format, _by_name),
            source=source,
            is_mock=is_invented(source),
            style=Markup(style()),  # noqa: S704  a file of ours
            say=str.format,
            why=str,
            named=_with_code,
            won=canvas.short,
            pictures=shown,
        )
    )


def _with_code(code: str, name: str) -> Markup:
    from markupsafe import Markup

    return Markup("{}<small>{}</small>").format(name, code)


def _by_name(_: str, name: str) -> str:
    return name


def content(
    report: DayReport, say: Callable[..., str], called: Callable[[str, str], str]
) -> dict[str, Any]:
    """What the template of a day needs, but for how its stocks and amounts are written.

    Args:
        report: the day.
        say: writes one of its sentences with the values in it.
        called: how a stock is called, by its code and its name.
    """
    amiss = report.condition.filter(
        (pl.col("trading_day") == report.day) & (pl.col("condition") != "available")
    )
    counts: dict[str, Any] = {
        "up": int((report.quotes["change_rate"] > 0).sum()),
        "down": int((report.quotes["change_rate"] < 0).sum()),
    }
    headline = say("{up:,} stocks rose, {down:,} fell", **counts)
    if first := leader(report):
        text = "{up:,} stocks rose, {down:,} fell; {leader} was traded most"
        code = report.leaders["stock_code"][0]
        headline = say(text, **counts, leader=called(code, first))
    text, values = _price_note(report)
    return {
        "report": report,
        "window": WINDOW,
        "whom": list(WHO),
        "headline": headline,
        "price_note": say(text, **values),
        "amiss": amiss.to_dicts(),
    }


def price_note(report: DayReport) -> str:
    """What the prices of the page are, and of when."""
    text, values = _price_note(report)
    return text.format(**values)


def _price_note(report: DayReport) -> tuple[str, dict[str, Any]]:
    captured: Any = report.quotes["captured_at"].max()
    at = f"{captured.astimezone(SEOUL):%Y-%m-%d %H:%M}"
    without = report.quotes.filter(~pl.col("is_official")).height
    known: dict[str, Any] = {"at": at, "count": without}
    if not report.from_captures:
        if without:
            return (
                "from daily candles, not final for {count:,} stocks: see the next morning's",
                known,
            )
        return "from final daily candles", {}
    if not without:
        return "official closes, and what was traded until the capture of {at} in Seoul", known
    if without == report.quotes.height:
        return "prices captured {at} in Seoul, not the official closes", known
    return "official closes, but for {count:,} stocks prices captured {at} in Seoul", known


def store(lake: Lake, day: date, html: str) -> Path:
    """Store the page atomically: a reader sees the whole old page or the whole new one."""
    folder = lake.folder / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.html"
    put(path, html.encode())
    return path

"""The page of a day: its frames as HTML that needs only a browser."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from kis_assets.exchange.calendar import SEOUL
from kis_assets.lake.lake import Lake
from kis_assets.report.daily_report import WINDOW, DayReport
from kis_assets.report.figures import WHO
from kis_assets.security.ownership import put


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
        "candles": address(lambda: stock.candlestick(report.candles, _leader(report))),
        "condition": address(lambda: market.condition_calendar(report.condition)),
    }


def _leader(report: DayReport) -> str:
    return report.leaders["stock_name"][0] if report.leaders.height else ""


def page(report: DayReport, source: str, pictures: Mapping[str, str]) -> str:
    """The page as HTML that needs no other file, with the pictures that could be `drawn`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from kis_assets.charts import canvas

    leader = _leader(report)
    amiss = report.condition.filter(
        (pl.col("trading_day") == report.day) & (pl.col("condition") != "available")
    )
    # Everything put into the page is escaped: a stock may be called anything.
    environment = Environment(
        loader=PackageLoader("kis_assets.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = canvas.short
    up = int((report.quotes["change_rate"] > 0).sum())
    down = int((report.quotes["change_rate"] < 0).sum())
    return environment.get_template("page.html.jinja").render(
        report=report,
        window=WINDOW,
        whom=list(WHO),
        source=source,
        is_mock=source.startswith("mock"),
        headline=f"{up:,} stocks rose, {down:,} fell"
        + (f"; {leader} was traded most" if leader else ""),
        told_by=told_by(report),
        pictures=pictures,
        amiss=amiss.to_dicts(),
    )


def told_by(report: DayReport) -> str:
    """Where the prices of the page come from, and their time."""
    captured: Any = report.quotes["captured_at"].max()
    at = f"{captured.astimezone(SEOUL):%Y-%m-%d %H:%M} in Seoul"
    without = report.quotes.filter(~pl.col("is_official")).height
    if not report.from_captures:
        if without:
            return f"from daily candles, not final for {without:,} stocks: see the next morning's"
        return "from final daily candles"
    if not without:
        return f"official closes, and what was traded until the capture of {at}"
    if without == report.quotes.height:
        return f"prices captured {at}, not the official closes"
    return f"official closes, but for {without:,} stocks prices captured {at}"


def store(lake: Lake, day: date, html: str) -> Path:
    """Store the page atomically: a reader sees the whole old page or the whole new one."""
    folder = lake.folder / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day}.html"
    put(path, html.encode())
    return path

"""Metadata for an asset's page: a preview of the stored rows, a picture, the account's status."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.exchange import calendar
from kis_assets.tables import Preview, Table

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*[]"} | {"|": "/"})
FIRST = 8
SHOWN = 20


def preview(table: Table, rows: pl.DataFrame, stocks: pl.DataFrame | None = None) -> pl.DataFrame:
    """A few rows of a table, in its most important columns.

    Names are added to codes if `stocks`, rows of `stock_master`, contains them.
    """
    shown = table.preview or Preview(" ".join(table.schema))
    found = rows.lazy() if shown.where is None else rows.lazy().filter(shown.where)
    columns = shown.columns.split()
    if shown.largest:
        # Lazily, so that only these columns are sorted: all columns of a day's minutes take 80 MB.
        found = found.select({*columns, shown.largest}).top_k(FIRST, by=shown.largest)
    first = found.select(columns).collect()
    if stocks is None or "stock_code" not in columns or "stock_name" in columns:
        return first
    names = stocks.select("stock_code", "stock_name").unique("stock_code", keep="last")
    named = first.join(names, on="stock_code", how="left", maintain_order="left")
    at = columns.index("stock_code") + 1
    return named.select(*columns[:at], "stock_name", *columns[at:])


def embedded(png: bytes, words: str) -> dg.MarkdownMetadataValue:
    """A picture inside the metadata text, so that no server has to store it."""
    return dg.MetadataValue.md(
        f"![{words}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def markdown(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small frame as a table for the UI; instants are in Seoul time."""
    ends = ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]
    rows = ([escaped(cell(value)) for value in row] for row in frame.rows())
    lines = [frame.columns, ends, *rows]
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def listed(names: Sequence[str]) -> str:
    """The first of several names in words, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "nothing"


def escaped(text: str) -> str:
    """Text escaped for Markdown: no HTML, no pictures of other servers, one line."""
    return " ".join(html.escape(text, quote=False).translate(_MARKS).split())


def cell(value: object) -> str:
    """A value formatted for people: 1,234,567; 1.20; 2026-03-17 15:30; empty for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return _unbroken(f"{value.astimezone(calendar.SEOUL):%Y-%m-%d %H:%M}")
    return _unbroken(str(value)) if isinstance(value, date) else str(value)


def _unbroken(moment: str) -> str:
    """A day or an instant that a narrow column does not break at a hyphen or space."""
    return moment.translate({ord("-"): "\N{NON-BREAKING HYPHEN}", ord(" "): "\N{NO-BREAK SPACE}"})


def account_metadata(found: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """One metadata entry on quota, token, breaker and cache, after `rate` requests per second."""
    if not found:
        return {}
    if found["error"]:
        return {"account": found["error"]}
    accounts, cache = found["accounts"], found["cache"]
    limit = sum(facts["rate_limit"] for facts in accounts.values())
    hit_rate = cache.get("hit_rate")
    rows = [
        {
            "app key": name,
            "pace": f"{facts['rate']:.1f} of {facts['rate_limit']:g} per second",
            "used here": f"{rate / limit:.0%}",
            "token": _age(facts["token_asked_at"], facts["token_expires_at"]),
            "breaker": facts["breaker"]
            + (f" for {wait:.0f} s" if (wait := facts["breaker_opens_for"]) else ""),
            "cache hits": "" if hit_rate is None else f"{hit_rate:.0%}",
        }
        for name, facts in accounts.items()
    ]
    return {"account": markdown(pl.DataFrame(rows))}


def _age(asked_at: datetime | None, expires_at: datetime | None) -> str:
    if asked_at is None or expires_at is None:
        return "none"
    old = (datetime.now(UTC) - asked_at).total_seconds() / 3600
    return f"{old:.1f} h old, until {expires_at.astimezone(calendar.SEOUL):%Y-%m-%d %H:%M} in Seoul"

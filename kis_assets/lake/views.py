"""The views of market.duckdb besides those of single tables: one file of plain SQL in `sql/` each.

A file begins with a comment on the view. After an empty comment line it has the meaning of each
column, or names the table that has it. The comments in DuckDB and `docs/tables.md` come from these.
Macros of market.duckdb give the views what is not plain SQL (ticks, the newest files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from kis_assets.exchange import calendar, prices
from kis_assets.tables import MINUTE_CANDLES, TABLES, Column

MACROS = {
    "tick_size(price, day)": prices.tick_sql("price", "day"),
    "longest_closure()": str(calendar.LONGEST_CLOSURE.days),
    "live_tables()": str([table.name for table in TABLES.values() if table.live]),
    "published_after(name)": "CASE name "
    + " ".join(
        f"WHEN '{table.name}' THEN {table.published_after}"
        for table in TABLES.values()
        if table.published_after
    )
    + " ELSE 0 END",
    "sessions_kept()": str(MINUTE_CANDLES.sessions_kept),
}
"""Macros with values from Python. `recent_<table>()` returns the rows of the newest files: a view
of the newest rows must not open ten years of files."""


@dataclass(frozen=True)
class View:
    """One file of `sql/`: the comment on the view, the meaning of its columns, and its query."""

    about: str
    columns: dict[str, str]
    sql: str

    @property
    def recent(self) -> set[str]:
        """The tables of which the view reads only the newest files."""
        return set(re.findall(r"\brecent_(\w+)\(", self.sql))

    @property
    def tables(self) -> set[str]:
        """All tables that the view reads, directly or through other views."""
        words = set(re.findall(r"\w+", self.sql))
        others = (VIEWS[name] for name in words & VIEWS.keys())
        of_views = (view.tables for view in others if view is not self)
        return (self.recent | (TABLES.keys() & words)).union(*of_views)


def meaning(column: Column) -> str:
    """The meaning of a table's column, with its unit."""
    return column.description + (f" [{column.unit}]" if column.unit else "")


def _view(text: str) -> View:
    head, _, sql = text.partition("\n\n")
    comment = re.sub(r"(?m)^-- ?", "", head)
    about, _, listed = comment.partition("\n\n")
    columns: dict[str, str] = {}
    for line in re.sub(r"\n +", " ", listed).splitlines():
        names, _, means = line.partition(": ")
        table = means.removeprefix("as in ")
        for name in names.split(", "):
            columns[name] = meaning(TABLES[table].column(name)) if table in TABLES else means
    return View(" ".join(about.split()), columns, sql.strip())


def _in_order(views: dict[str, View]) -> dict[str, View]:
    """The views sorted so that each comes after the views that it reads, as DuckDB requires."""
    found: dict[str, View] = {}

    def take(name: str) -> None:
        others = set(re.findall(r"\w+", views[name].sql)) & views.keys() - {name}
        for other in sorted(others - found.keys()):
            take(other)
        found.setdefault(name, views[name])

    for name in sorted(views):
        take(name)
    return found


_SQL = files("kis_assets.lake") / "sql"
VIEWS = _in_order(
    {
        file.name.removesuffix(".sql"): _view(file.read_text(encoding="utf-8"))
        for file in _SQL.iterdir()
        if file.name.endswith(".sql")
    }
)
FUNCTIONS = {
    "trade_bars(seconds)": _view(
        (_SQL / "functions" / "trade_bars.sql").read_text(encoding="utf-8")
    ).sql,
}
"""Views with a parameter, which are table macros in DuckDB: FROM trade_bars(10)."""

"""The pages that are HTML as they stand: the market, a day, the condition, the frame of a stock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from kis_assets.exchange.venues import is_invented
from kis_assets.report import page as report_page
from kis_assets.report.daily_report import DayReport
from kis_assets.site.reasons import why
from kis_assets.site.words import both, say, won

if TYPE_CHECKING:
    from markupsafe import Markup

SHOWN = 60
"""Newest sessions in the calendar of conditions."""
KINDS = (
    *("split", "reverse_split", "bonus_issue", "rights_issue", "stock_dividend"),
    *("cash_dividend", "capital_reduction", "merger", "spin_off", "other"),
)
_MOST = 300
"""Rows at most of what is not as it should be, the newest first."""
_CONDITIONS = ("available", "degraded", "pending", "missing")
_STEPS = (0, 1, 3, 5, 10, 15)
"""Percent at which one bar of changes ends and the next begins."""


class Pages:
    """Pages of one source.

    Args:
        source: what stands in the column `source`; pages of an invented market say so.
        stored_at: until when what they show was stored, in words.
        days: the days with a page, oldest first.
        english: English names of stocks by code.
    """

    def __init__(
        self, source: str, stored_at: str, days: Sequence[date], english: Mapping[str, str]
    ) -> None:
        self.days = days
        self.english = english
        self._templates = report_page.environment(("kis_assets.site", "templates"))
        self._shared: dict[str, Any] = {
            "say": say,
            "why": why,
            "won": won,
            "source": source,
            "is_mock": is_invented(source),
            "stored_at": stored_at,
            "newest_day": days[-1] if days else None,
        }

    def index(self, indices: pl.DataFrame, condition: pl.DataFrame) -> str:
        """The first page: indices, the table of all stocks, the days, how the newest one stands."""
        newest = condition.filter(
            pl.col("trading_day") == pl.col("trading_day").max().over("table_name")
        )
        return self._page(
            "index",
            indices=indices.to_dicts(),
            days=self.days[::-1],
            newest=newest.to_dicts(),
        )

    def stock(self) -> str:
        """The page of every stock, which `stock.js` fills."""
        return self._page("stock", kinds=KINDS)

    def condition(self, rows: pl.DataFrame) -> str:
        """Which table has which day."""
        rows = rows.filter(pl.col("condition").is_in(_CONDITIONS))
        sessions: list[date] = rows["trading_day"].unique().sort().tail(SHOWN).to_list()
        tables: list[str] = rows["table_name"].unique().sort().to_list()
        shown = rows.filter(pl.col("trading_day").is_in(sessions))
        cells = {(row["table_name"], row["trading_day"]): row for row in shown.to_dicts()}
        counts = rows.group_by("table_name").agg(
            since=pl.col("trading_day").min(),
            **{name: (pl.col("condition") == name).sum() for name in _CONDITIONS},
        )
        amiss = _amiss(rows)
        return self._page(
            "condition",
            sessions=sessions,
            months=[
                (month, len(list(days)))
                for month, days in groupby(sessions, lambda day: f"{day:%Y-%m}")
            ],
            grid=[(name, [(day, cells.get((name, day))) for day in sessions]) for name in tables],
            totals={name: (shown["condition"] == name).sum() for name in _CONDITIONS},
            counts=counts.sort("table_name").to_dicts(),
            amiss=amiss[:_MOST],
            more=len(amiss) - _MOST,
        )

    def day(self, report: DayReport, known: frozenset[str]) -> str:
        """The evening report of a day; `known` are the codes of stocks that have a page."""
        place = self.days.index(report.day)

        def called(code: str, name: str) -> Markup:
            return both(name, self.english.get(code) or name)

        def named(code: str, name: str) -> Markup:
            from markupsafe import Markup

            words = called(code, name)
            if code in known:
                words = Markup('<a href="../stock.html?{}">{}</a>').format(code, words)
            return words + Markup("<small>{}</small>").format(code)

        return self._page(
            "day",
            "../",
            **report_page.content(report, say, called),
            before=self.days[place - 1] if place else None,
            after=self.days[place + 1] if place + 1 < len(self.days) else None,
            named=named,
            pictures={"breadth": self._breadth(report), "candles": "", "condition": ""},
        )

    def _breadth(self, report: DayReport) -> Markup:
        from markupsafe import Markup

        bars = _bars(report.quotes)
        most = max(1, *(count for _, _, count in bars))
        drawn = self._templates.get_template("breadth.html.jinja").render(
            bars=[(label, way, count, round(120 * count / most)) for label, way, count in bars],
            heading=say("Changes of the day"),
        )
        return Markup(drawn)  # noqa: S704  it was escaped when it was made

    def _page(self, name: str, root: str = "", **values: Any) -> str:
        template = "day.page.jinja" if name == "day" else f"{name}.html.jinja"
        return self._templates.get_template(template).render(
            self._shared, page=name, root=root, **values
        )


def _bars(quotes: pl.DataFrame) -> list[tuple[str, str, int]]:
    """How many stocks changed by how much: a label, which way, how many."""
    rate, first, last = pl.col("change_rate"), _STEPS[-1], _STEPS[0]
    down = [
        (f"−{high}…{'−' if low else ''}{low}", "down", (rate < 0) & (rate <= -low) & (rate > -high))
        for low, high in pairwise(_STEPS)
    ]
    up = [
        (f"{low}…{high}", "up", (rate > 0) & (rate >= low) & (rate < high))
        for low, high in pairwise(_STEPS)
    ]
    tests = [
        (f"≤ −{first} %", "down", rate <= -first),
        *down[::-1],
        (f"{last} %", "flat", rate == 0),
        *up,
        (f"≥ {first} %", "up", rate >= first),
    ]
    return [(label, way, quotes.filter(test).height) for label, way, test in tests]


def _amiss(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Days that are not available, those of one table and reason in a row as one."""
    found: list[dict[str, Any]] = []
    ordered = rows.sort("table_name", "trading_day").to_dicts()
    for (name, condition, reason), run in groupby(
        ordered, lambda row: (row["table_name"], row["condition"], row["reason"])
    ):
        if condition != "available":
            days = [row["trading_day"] for row in run]
            found.append(
                {"table_name": name, "condition": condition, "reason": reason}
                | {"since": days[0], "until": days[-1], "days": len(days)}
            )
    return sorted(found, key=lambda row: (row["until"], row["table_name"]), reverse=True)

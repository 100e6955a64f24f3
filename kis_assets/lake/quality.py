"""Results about stored rows, as rows of `quality`: findings of checks, and why rows are missing.

A result is kept for each trading day, even if a partition is a month, because users rely on days.
`dataset_condition` is made from these rows and the calendar. No Dagster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from kis_assets.errors import KISError
from kis_assets.exchange import finality
from kis_assets.lake.closed_days import closed_before
from kis_assets.lake.lake import Lake, Scope
from kis_assets.tables import DAILY_CANDLES, QUALITY, Table

ACCOUNTED = "every_stock_is_accounted_for"
"""The check that is stored together with the rows: no requested stock failed."""

KEPT = 3
"""How many failing rows of a day are kept."""


@dataclass(frozen=True)
class Finding:
    """The result of one check: checked rows and failing rows, by trading day."""

    name: str
    severity: str
    rows: Mapping[date, int]
    failing: Mapping[date, int] = field(default_factory=dict[date, int])
    tolerated: float = 0.0
    """The tolerated share of failing rows of a day."""
    detail: Mapping[date, str] = field(default_factory=dict[date, str])

    def holds_on(self, day: date) -> bool:
        """Whether the day has no more failing rows than tolerated."""
        return self.failing.get(day, 0) <= self.tolerated * self.rows.get(day, 0)

    @property
    def holds(self) -> bool:
        """Whether the check holds on every day."""
        return all(self.holds_on(day) for day in {*self.rows, *self.failing})


def record(lake: Lake, table: Table, findings: list[Finding]) -> None:
    """Store and publish the findings of checks in a table, replacing earlier findings.

    Days without a new finding keep their earlier ones.
    """
    checked_at = lake.now().astimezone(UTC)
    found = [
        {
            "trading_day": day,
            "table_name": table.name,
            "check_name": finding.name,
            "passed": finding.holds_on(day),
            "severity": finding.severity,
            "rows": finding.rows.get(day, 0),
            "failing_rows": finding.failing.get(day, 0),
            "detail": finding.detail.get(day),
            "checked_at": checked_at,
            "source": lake.source,
            "fetched_at": checked_at,
        }
        for finding in findings
        for day in sorted({*finding.rows, *finding.failing})
    ]
    frame = pl.DataFrame(found, QUALITY.schema)
    if frame.is_empty() and lake.folder.exists():
        lake.publish(only_if_stale=True)
    names = {finding.name for finding in findings}
    for _, part in frame.group_by(pl.col("trading_day").dt.truncate("1mo")):
        days = part["trading_day"].to_list()
        scope = Scope(min(days), max(days)).of(days, "trading_day")
        lake.replace(QUALITY, scope.of({table.name}, "table_name").of(names, "check_name"), part)


def account(
    rows: Mapping[date, int], absent: Mapping[str, str], failed: Mapping[str, KISError]
) -> Finding:
    """The finding about a fetch: rows of each day, and the stocks without rows, by reason."""
    reasons: dict[str, Any] = {
        "absent": _by_reason(absent),
        "failed": _by_reason({code: type(error).__name__ for code, error in failed.items()}),
    }
    kept = {name: codes for name, codes in reasons.items() if codes}
    return Finding(
        ACCOUNTED,
        "ERROR",
        rows,
        failing=dict.fromkeys(rows, len(failed)),
        detail=dict.fromkeys(rows, json.dumps(kept, ensure_ascii=False)) if kept else {},
    )


def absences(lake: Lake, table: Table, first: date, last: date) -> pl.DataFrame:
    """Which stocks have no row on a day and why: `trading_day`, `stock_code`, `reason`."""
    kept = (
        lake.scan(QUALITY, first=first, last=last)
        .filter(pl.col("table_name") == table.name, pl.col("check_name") == ACCOUNTED)
        .select("trading_day", "detail")
        .drop_nulls()
        .collect()
    )
    found = [
        (day, code, reason)
        for day, detail in kept.iter_rows()
        for reason, codes in json.loads(detail).get("absent", {}).items()
        for code in codes
    ]
    schema = {"trading_day": pl.Date, "stock_code": pl.String, "reason": pl.String}
    return pl.DataFrame(found, schema, orient="row")


def provisional(
    lake: Lake, now: datetime, first: date | None = None, last: date | None = None
) -> pl.DataFrame:
    """trading_day and stock_code of stored provisional candles that could be final by now."""
    until = finality.newest_final_day(now, closed_before(lake, now))
    return (
        lake.scan(DAILY_CANDLES, first=first, last=min(last or until, until))
        .filter(~pl.col("is_final"))
        .select("trading_day", "stock_code")
        .collect(engine="streaming")
    )


def _by_reason(by_code: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for code, reason in sorted(by_code.items()):
        found.setdefault(reason, []).append(code)
    return found

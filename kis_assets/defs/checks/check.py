"""The class of checks of stored rows, and how checks are added to Dagster."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.asset_metadata import SHOWN, escaped, markdown
from kis_assets.defs.materialization import progress_logger
from kis_assets.defs.partitions import partitions_of
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.lake import quality
from kis_assets.lake.closed_days import closed_by_kis
from kis_assets.lake.lake import Lake
from kis_assets.lake.quality import Finding
from kis_assets.lake.scope import rows_by_day
from kis_assets.settings import Settings
from kis_assets.sources.tables import TableSource
from kis_assets.tables import INSTANT, Table
from kis_assets.transport.fan_out import Progress


@dataclass(frozen=True)
class Window:
    """The input of a check: a table's rows of one partition, and data to compare them with."""

    lake: Lake
    table: Table
    first: date
    last: date
    now: datetime
    source: Callable[[], TableSource]
    """Opens the source, for checks that fetch data for a comparison."""
    other_lake: Lake | None = None
    """For rows of KIS the lake of KRX, for rows of KRX the lake of KIS; for other sources None."""
    clock: Callable[[], datetime] | None = None
    """Returns the current time, for checks that take long. None: use `now`."""
    progress: Progress | None = None
    """Called with the progress of a check that fetches data."""
    settings: Settings = field(default_factory=Settings.load)

    def rows(self, table: Table | None = None, *, days_before: int = 0) -> pl.LazyFrame:
        """The stored rows of these days, of this or another table, optionally with earlier days."""
        first = self.first - timedelta(days=days_before)
        return self.lake.scan(table or self.table, first=first, last=self.last)

    @property
    def sessions(self) -> list[calendar.Session]:
        """The past sessions of these days, oldest first, without days that KIS states as closed."""
        first, last = max(self.first, calendar.FIRST_DAY), min(self.last, self.now.date())
        days = calendar.trading_days(first, last) if first <= last else []
        closed = closed_by_kis(self.lake, first, last) if days else set[date]()
        days = [day for day in days if day not in closed]
        found = [calendar.session(day) for day in days]
        return [session for session in found if session and session.closes_at <= self.now]

    def official(self) -> pl.LazyFrame:
        """When the price of a quote is the official close, for each session, to join rows with.

        Columns: trading_day, official_from, official_until, and over_at (the end of trading on the
        day). Before the after-market existed, the close stayed until the next session.
        """
        found = [
            (
                session.day,
                session.closes_at
                + (calendar.AUCTION_OVER if session.after_market else timedelta()),
                session.after_market[0] if session.after_market else NEVER,
                session.over_at,
            )
            for session in self.sessions
        ]
        moments = dict.fromkeys(("official_from", "official_until", "over_at"), INSTANT)
        return pl.LazyFrame(found, {"trading_day": pl.Date(), **moments}, orient="row")


NEVER = datetime(2200, 1, 1, tzinfo=UTC)


class NotComparable(Exception):
    """There is nothing to compare the rows with; an earlier result of the check remains valid."""


FindFailing = Callable[[Window, pl.LazyFrame], pl.LazyFrame]
"""Returns those of the given rows that fail a check, with their day if there are several days."""


@dataclass(frozen=True)
class Check:
    """A check of rows. Its function gives the name, and the function's docstring the description.

    `blocks` means that failing rows can never be right: downstream assets do not run. `tolerated`
    is the share of a day's rows that may fail.
    """

    find_failing: FindFailing
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocks: bool = False
    tolerated: float = 0.0

    @property
    def name(self) -> str:
        """A sentence that is true when the check has passed."""
        return self.find_failing.__name__

    @property
    def description(self) -> str:
        """The description of the check, as one paragraph."""
        return " ".join((self.find_failing.__doc__ or "").split())

    def find(self, window: Window, rows: dict[date, int]) -> tuple[Finding, pl.DataFrame]:
        """Check the stored rows; `rows` has the number of rows per day."""
        failing = self.find_failing(window, window.rows()).collect(engine="streaming")
        clock = next((name for name in _CLOCKS if name in failing.columns), None)
        by_day: dict[date, pl.DataFrame] = {}
        if clock is not None:
            by_day = {key[0]: part for key, part in failing.group_by(clock)}  # type: ignore[misc]
        elif failing.height:
            by_day = {window.first: failing}
        looked_at = dict(rows)
        days = [session.day for session in window.sessions]
        if window.table.partition == "year":
            # A table of years is checked as a whole: its result is recorded for the first day.
            looked_at = {window.first: sum(rows.values())}
            by_day = {window.first: failing} if failing.height else {}
        elif window.table.partition == "month" and "trading_day" not in window.table.schema:
            # Facts of a month hold on each of its days, so their result does too.
            looked_at = dict.fromkeys(days, sum(rows.values()))
            by_day = dict.fromkeys(days, failing) if failing.height else {}
        elif window.table.partition == "month":
            # A day without rows gets a result as well.
            looked_at = dict.fromkeys(days, 0) | looked_at
        return Finding(
            self.name,
            self.severity.value,
            looked_at,
            failing={day: part.height for day, part in by_day.items()},
            tolerated=self.tolerated,
            detail={day: _json(part.head(quality.KEPT)) for day, part in by_day.items()},
        ), failing


_CLOCKS = ("trading_day", "effective_on", "day")


def asset_checks(table: Table, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """The checks of a table for Dagster, with the table's partitions; each passes if no row fails.

    The metadata has the number of checked rows, of failing rows, and 20 of those. The results are
    recorded in `quality`. All checks run in one step, so that the partition's file stays cached.
    """
    with warnings.catch_warnings():
        # Partitions of checks are a preview feature of Dagster, whose version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                check.name,
                asset=table.name,
                description=check.description,
                blocking=check.blocks,
                partitions_def=partitions_of(table),
            )
            for check in checks
        ]

    @dg.multi_asset_check(name=f"{table.name}_checks", specs=specs, can_subset=True)
    def _checks(
        context: dg.AssetCheckExecutionContext,
        kis: KISResource,
        lake: LakeResource,
        krx_lake: LakeResource,
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = {key.name for key in context.selected_asset_check_keys}
        found: list[Finding] = []
        results: list[dg.AssetCheckResult] = []
        with plain_failures():
            mine = (krx_lake if table.own_source == "krx" else lake).lake
            window = Window(
                mine,
                table,
                *table.span(context.partition_key),
                kis.now(),
                lambda: kis.tables,
                _other_lake(mine, kis.settings),
                kis.now,
                progress_logger(context.log.info, kis.listener),
                kis.settings,
            )
            rows = rows_by_day(table, window.rows())
            for check in checks:
                if check.name not in wanted:
                    continue
                try:
                    finding, failing = check.find(window, rows)
                except (NotComparable, KISError) as reason:
                    results.append(_not_compared(table, check, reason))
                    continue
                found.append(finding)
                results.append(_result(table, check, finding, failing, sum(rows.values())))
            quality.record(mine, table, found)
        yield from results

    return _checks


def _other_lake(mine: Lake, settings: Settings) -> Lake | None:
    """The lake of KRX for KIS, and of KIS for KRX; both real, or both simulated."""
    origin, _, name = mine.source.rpartition("_")
    other = {"kis": "krx", "krx": "kis"}.get(name)
    if other is None:
        return None
    there = f"{origin}_{other}" if origin else other
    return Lake(settings.kis_data_dir / there, source=there)


def _result(
    table: Table, check: Check, finding: Finding, failing: pl.DataFrame, rows: int
) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"rows": rows, "failing_rows": failing.height}
    if check.tolerated:
        metadata["tolerated_share"] = check.tolerated
    if failing.height:
        metadata["failing"] = markdown(failing.head(SHOWN))
    return dg.AssetCheckResult(
        asset_key=table.name,
        check_name=check.name,
        passed=(table.may_be_empty or rows > 0) and finding.holds,
        severity=check.severity,
        description=None if rows else "there is no row",
        metadata=metadata,
    )


def _not_compared(
    table: Table, check: Check, reason: NotComparable | KISError
) -> dg.AssetCheckResult:
    """The result of a check without a comparison; it is a warning if the second source is down."""
    is_down = isinstance(reason, KISError)
    return dg.AssetCheckResult(
        asset_key=table.name,
        check_name=check.name,
        passed=not is_down,
        severity=dg.AssetCheckSeverity.WARN if is_down else check.severity,
        description=f"not compared: {escaped(str(reason))}",
        metadata={"rows": 0, "failing_rows": 0},
    )


def _json(rows: pl.DataFrame) -> str:
    return json.dumps(rows.to_dicts(), default=str, ensure_ascii=False)

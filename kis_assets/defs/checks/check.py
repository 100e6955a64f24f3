"""How claims about stored rows become asset checks. The claims stand in the other modules."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.asset_metadata import SHOWN, escaped, markdown
from kis_assets.defs.materialization import logged
from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import KISError
from kis_assets.exchange import calendar
from kis_assets.lake import quality
from kis_assets.lake.closed_days import said_closed
from kis_assets.lake.lake import Lake, Scope
from kis_assets.lake.quality import Finding
from kis_assets.lake.scope import rows_by_day
from kis_assets.settings import Settings
from kis_assets.sources.base import AbstractDataSource, Progress
from kis_assets.tables import INSTANT, KRX_DAILY, Table, Unit


@dataclass(frozen=True)
class Span:
    """What a check looks at: a table's rows of one partition, and where to compare them."""

    lake: Lake
    table: Table
    first: date
    last: date
    now: datetime
    source: Callable[[], AbstractDataSource]
    """Opens the source, for the claims that ask it a second time."""
    beside: Lake | None = None
    """Of KIS's rows the lake of KRX's own, of KRX's that of KIS's; None where neither is it."""
    clock: Callable[[], datetime] | None = None
    """Tells the moment again, for claims that take long; it is `now` where there is none."""
    progress: Progress | None = None
    """Told how far a claim is that asks the source."""

    def rows(self, table: Table | None = None, *, days_before: int = 0) -> pl.LazyFrame:
        """The stored rows of these days, of this table or of another one, earlier ones too."""
        first = self.first - timedelta(days=days_before)
        return self.lake.scan(table or self.table, first=first, last=self.last)

    @property
    def sessions(self) -> list[calendar.Session]:
        """The sessions of these days that are over, oldest first; not those that KIS called off."""
        first, last = max(self.first, calendar.FIRST_DAY), min(self.last, self.now.date())
        days = calendar.trading_days(first, last) if first <= last else []
        closed = said_closed(self.lake, first, last) if days else set[date]()
        days = [day for day in days if day not in closed]
        found = [calendar.session(day) for day in days]
        return [session for session in found if session and session.closes_at <= self.now]

    def official(self) -> pl.LazyFrame:
        """When a quote's price is the official close of those sessions, to join rows with.

        Columns: trading_day, official_from, official_until and over_at, when the last trade of the
        day is over. Before there was an after-market, a close stood until the next session.
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

_SCOPES: dict[Unit, Callable[[str], Scope]] = {
    "day": lambda key: Scope.day(date.fromisoformat(key)),
    "month": lambda key: Scope.month(date.fromisoformat(key)),
    "year": lambda key: Scope.year(int(key)),
}


class Incomparable(Exception):
    """There is nothing to hold the rows against, and why; an earlier verdict stands."""


Breaking = Callable[[Span, pl.LazyFrame], pl.LazyFrame]
"""The rows that break a claim, out of the rows given; with the day, where they are of several."""


@dataclass(frozen=True)
class Claim:
    """A claim that is checked: named as its function, described by its docstring.

    One that `blocks` can never be right when it fails: what is downstream does not run then.
    `tolerated` is the share of a day's rows that may break it.
    """

    breaking: Breaking
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocks: bool = False
    may_be_empty: bool = False
    tolerated: float = 0.0

    @property
    def name(self) -> str:
        """A sentence that is true when the check has passed."""
        return self.breaking.__name__

    @property
    def words(self) -> str:
        """What is claimed, in full."""
        return " ".join((self.breaking.__doc__ or "").split())

    def find(self, span: Span, rows: dict[date, int]) -> tuple[Finding, pl.DataFrame]:
        """Judge the stored rows; `rows` says how many there are of each day."""
        failing = self.breaking(span, span.rows()).collect(engine="streaming")
        clock = next((name for name in _CLOCKS if name in failing.columns), None)
        by_day: dict[date, pl.DataFrame] = {}
        if clock is not None:
            by_day = {key[0]: part for key, part in failing.group_by(clock)}  # type: ignore[misc]
        elif failing.height:
            by_day = {span.first: failing}
        looked_at = dict(rows)
        days = [session.day for session in span.sessions]
        if span.table.partition == "year":
            # A calendar is right or wrong as a whole: it is kept under its first day.
            looked_at = {span.first: sum(rows.values())}
            by_day = {span.first: failing} if failing.height else {}
        elif span.table.partition == "month" and "trading_day" not in span.table.schema:
            # Facts of a month are known on each of its days, and so is what is wrong with them.
            looked_at = dict.fromkeys(days, sum(rows.values()))
            by_day = dict.fromkeys(days, failing) if failing.height else {}
        elif span.table.partition == "month":
            # A day without rows has none that break the claim, and says so.
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


def checks(
    asset: dg.AssetsDefinition, table: Table, claims: Sequence[Claim]
) -> dg.AssetChecksDefinition:
    """The partitioned checks of an asset, one a claim; each passes when no row breaks its claim.

    Their metadata hold how many rows were looked at and how many fail, and 20 of those; what was
    found is kept in `quality`. All run in one step: a partition is read from one warm file.
    """
    with warnings.catch_warnings():
        # Partitions of checks are a preview of Dagster's, which is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                claim.name,
                asset=asset,
                description=claim.words,
                blocking=claim.blocks,
                partitions_def=asset.partitions_def,
            )
            for claim in claims
        ]

    @dg.multi_asset_check(name=f"{table.name}_checks", specs=specs, can_subset=True)
    def _checks(
        context: dg.AssetCheckExecutionContext,
        kis: KISResource,
        lake: LakeResource,
        krx_lake: LakeResource,
    ) -> Iterator[dg.AssetCheckResult]:
        scope = _SCOPES[table.partition](context.partition_key)
        wanted = {key.name for key in context.selected_asset_check_keys}
        found: list[Finding] = []
        results: list[dg.AssetCheckResult] = []
        with plain_failures():
            mine = krx_lake.lake if table is KRX_DAILY else lake.lake
            span = Span(
                mine,
                table,
                scope.first,
                scope.last,
                kis.now(),
                lambda: kis.source,
                _beside(mine, kis.settings),
                kis.now,
                logged(context.log.info),
            )
            rows = rows_by_day(table, span.rows())
            for claim in claims:
                if claim.name not in wanted:
                    continue
                try:
                    finding, failing = claim.find(span, rows)
                except (Incomparable, KISError) as reason:
                    results.append(_not_compared(asset, claim, reason))
                    continue
                found.append(finding)
                results.append(_result(asset, claim, finding, failing, sum(rows.values())))
            quality.record(mine, table, found)
        yield from results

    return _checks


def _beside(mine: Lake, settings: Settings) -> Lake | None:
    other = {"kis": "krx", "krx": "kis"}.get(mine.source)
    return None if other is None else Lake(settings.kis_data_dir / other, source=other)


def _result(
    asset: dg.AssetsDefinition, claim: Claim, finding: Finding, failing: pl.DataFrame, rows: int
) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"rows": rows, "failing_rows": failing.height}
    if claim.tolerated:
        metadata["tolerated_share"] = claim.tolerated
    if failing.height:
        metadata["failing"] = markdown(failing.head(SHOWN))
    return dg.AssetCheckResult(
        asset_key=asset.key,
        check_name=claim.name,
        passed=(claim.may_be_empty or rows > 0) and finding.holds,
        severity=claim.severity,
        description=None if rows else "there is no row",
        metadata=metadata,
    )


def _not_compared(
    asset: dg.AssetsDefinition, claim: Claim, reason: Incomparable | KISError
) -> dg.AssetCheckResult:
    """What is shown of a claim that could not be judged; a second source that is down warns."""
    is_down = isinstance(reason, KISError)
    return dg.AssetCheckResult(
        asset_key=asset.key,
        check_name=claim.name,
        passed=not is_down,
        severity=dg.AssetCheckSeverity.WARN if is_down else claim.severity,
        description=f"not compared: {escaped(str(reason))}",
        metadata={"rows": 0, "failing_rows": 0},
    )


def _json(rows: pl.DataFrame) -> str:
    return json.dumps(rows.to_dicts(), default=str, ensure_ascii=False)

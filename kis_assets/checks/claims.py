"""How a claim about stored rows becomes an asset check. The claims stand in the other modules."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.assets.reporting import SHOWN, markdown
from kis_assets.lake import Lake, Scope
from kis_assets.partitions import MONTHS, TRADING_DAYS, YEARS
from kis_assets.resources import LakeResource, plain_failures
from kis_assets.tables import Table, Unit


@dataclass(frozen=True)
class Span:
    """What a check looks at: a table's rows of one partition, and the lake for comparisons."""

    lake: Lake
    table: Table
    first: date
    last: date

    def rows(self, table: Table | None = None) -> pl.DataFrame:
        """The stored rows of these days, of this table or of another one."""
        return self.lake.scan(table or self.table, first=self.first, last=self.last).collect()


_PARTITIONS: dict[Unit, tuple[dg.PartitionsDefinition[Any], Callable[[str], Scope]]] = {
    "day": (TRADING_DAYS, lambda key: Scope.day(date.fromisoformat(key))),
    "month": (MONTHS, lambda key: Scope.month(date.fromisoformat(key))),
    "year": (YEARS, lambda key: Scope.year(int(key))),
}

Claim = Callable[[Span, pl.DataFrame], pl.DataFrame]
"""The rows that break the claim, out of the rows given."""


def check(
    claim: Claim,
    asset: dg.AssetsDefinition,
    table: Table,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    *,
    may_be_empty: bool = False,
) -> dg.AssetChecksDefinition:
    """A partitioned asset check that passes when no row breaks the claim; there must be rows.

    Its metadata hold how many rows were looked at and how many break it, and 20 of those.
    """
    partitions, scope_of = _PARTITIONS[table.partition]

    @dg.asset_check(
        asset=asset,
        name=claim.__name__,
        description=" ".join((claim.__doc__ or "").split()),
        partitions_def=partitions,
    )
    def _check(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        scope = scope_of(context.partition_key)
        with plain_failures():
            span = Span(lake.lake, table, scope.first, scope.last)
            rows = span.rows()
            failing = claim(span, rows)
        metadata: dict[str, Any] = {"rows": rows.height, "failing_rows": failing.height}
        if failing.height:
            metadata["failing"] = markdown(failing.head(SHOWN))
        return dg.AssetCheckResult(
            passed=(may_be_empty or rows.height > 0) and failing.is_empty(),
            severity=severity,
            description="there is no row" if rows.is_empty() else None,
            metadata=metadata,
        )

    return _check

"""How a claim about stored rows becomes an asset check. The claims stand in the other modules."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from kis_assets.assets.reporting import SHOWN, markdown
from kis_assets.lake import Lake, Scope
from kis_assets.partitions import MONTHS, TRADING_DAYS
from kis_assets.resources import LakeResource, plain_failures
from kis_assets.tables import Table


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


Claim = Callable[[Span, pl.DataFrame], pl.DataFrame]
"""The rows that break the claim, out of the rows given."""


def check(
    claim: Claim,
    asset: dg.AssetsDefinition,
    table: Table,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetChecksDefinition:
    """A partitioned asset check that passes when no row breaks the claim.

    Its metadata hold how many rows were looked at and how many break it, and 20 of those.
    """
    by_month = table.partition == "month"

    @dg.asset_check(
        asset=asset,
        name=claim.__name__,
        description=" ".join((claim.__doc__ or "").split()),
        partitions_def=MONTHS if by_month else TRADING_DAYS,
    )
    def _check(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        first = date.fromisoformat(context.partition_key)
        scope = Scope.month(first) if by_month else Scope.day(first)
        with plain_failures():
            span = Span(lake.lake, table, scope.first, scope.last)
            rows = span.rows()
            failing = claim(span, rows)
        metadata: dict[str, Any] = {"rows": rows.height, "failing_rows": failing.height}
        if failing.height:
            metadata["failing"] = markdown(failing.head(SHOWN))
        return dg.AssetCheckResult(
            passed=rows.height > 0 and failing.is_empty(),
            severity=severity,
            description="there is no row" if rows.is_empty() else None,
            metadata=metadata,
        )

    return _check

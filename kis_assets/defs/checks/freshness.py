"""Checks whether the newest due session of each table is stored, according to `dataset_condition`.

Dagster's own freshness uses its run history and knows no holidays: docs/decisions/0012.
"""

from collections.abc import Iterator

import dagster as dg

from kis_assets.defs.checks.registry import LISTED
from kis_assets.defs.resources import LakeResource, plain_failures
from kis_assets.exchange import venues
from kis_assets.lake.lake import Lake
from kis_assets.tables import Table

NAME = "newest_session_is_stored"
JUDGED = [table for table in LISTED if table.partition != "year"]
_NEWEST_DUE = """
SELECT table_name, trading_day, condition, reason
FROM dataset_condition
WHERE condition <> 'pending'
QUALIFY row_number() OVER (PARTITION BY table_name ORDER BY trading_day DESC) = 1
"""


def key_of(table: Table) -> dg.AssetCheckKey:
    """The key of a table's freshness check."""
    return dg.AssetCheckKey(dg.AssetKey(table.name), NAME)


@dg.multi_asset_check(
    name="freshness_checks",
    specs=[
        dg.AssetCheckSpec(
            NAME,
            asset=table.name,
            description="The newest session whose rows are due is stored. Days off are not "
            "sessions. A table without any stored row is not checked.",
        )
        for table in JUDGED
    ],
    can_subset=True,
)
def freshness_checks(
    context: dg.AssetCheckExecutionContext, lake: LakeResource
) -> Iterator[dg.AssetCheckResult]:
    """Warn about each table whose newest session is missing; one query per lake."""
    wanted = set(context.selected_asset_check_keys)
    with plain_failures():
        own = lake.lake
        name = venues.krx_beside(own.source)
        beside = Lake(own.folder.with_name(name), source=name, replay_at=own.replay_at)
        for mine, is_krx in ((own, False), (beside, True)):
            tables = [
                it for it in JUDGED if key_of(it) in wanted and is_krx == (it.own_source == "krx")
            ]
            yield from _results(mine, tables)


def _results(lake: Lake, tables: list[Table]) -> Iterator[dg.AssetCheckResult]:
    if not tables or not lake.folder.exists():
        return
    found = {name: rest for name, *rest in lake.read(_NEWEST_DUE).iter_rows()}
    for table in tables:
        if table.name not in found:
            continue
        day, condition, reason = found[table.name]
        is_missing = condition == "missing"
        yield dg.AssetCheckResult(
            asset_key=table.name,
            check_name=NAME,
            passed=not is_missing,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{day}: {reason if is_missing else 'stored'}",
            metadata={"trading_day": str(day), "condition": condition},
        )

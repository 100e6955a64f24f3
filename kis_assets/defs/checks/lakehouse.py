"""Whether what is published at `KIS_LAKE_URL` equals the lake."""

from __future__ import annotations

import dagster as dg

from kis_assets.defs.asset_metadata import listed
from kis_assets.defs.resources import KISResource, LakeResource, lakes_beside, plain_failures
from kis_assets.lake.delta import Published
from kis_assets.lake.delta_table import PublishError
from kis_assets.tables import TABLES

NAME = "it_equals_the_lake"


@dg.asset_check(
    name=NAME,
    asset="lakehouse",
    description=(
        "Every unit has as many rows there as in the lake. What was published since yesterday, and "
        "a thirtieth of the rest, another each day, is read back and equals the lake row for row. "
        "What is behind only warns: a run may have stored it since. `kis-assets publish --verify` "
        "publishes again what differs."
    ),
)
def it_equals_the_lake(kis: KISResource, lake: LakeResource) -> dg.AssetCheckResult:
    """All tables of the lake; it fails with a sentence where the storage cannot be read."""
    with plain_failures():
        url, turn = kis.settings.kis_lake_url, kis.now().toordinal()
        lakes = lakes_beside(lake.lake)
    differing, beyond, behind = list[str](), list[str](), list[str]()
    try:
        for mine in lakes if url else []:
            for table in TABLES.values():
                there, name = Published(mine, table, url or ""), f"{mine.source} {table.name}"
                other = there.differing(turn)
                late = there.behind()  # afterwards: what a run stored meanwhile is no difference
                behind += [f"{name} {unit}" for unit in late]
                differing += [f"{name} {unit}" for unit in other if unit not in late]
                beyond += [f"{name} {unit}" for unit in there.beyond()]
    except PublishError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    is_wrong = bool(differing or beyond)
    return dg.AssetCheckResult(
        passed=bool(url) and not is_wrong and not behind,
        severity=dg.AssetCheckSeverity.ERROR if is_wrong else dg.AssetCheckSeverity.WARN,
        description=None if url else "KIS_LAKE_URL is not set",
        metadata={
            "differing": listed(differing),
            "stored no more": listed(beyond),
            "behind": listed(behind),
        },
    )

"""The lake as Delta tables in object storage, where many read it: `KIS_LAKE_URL`."""

from typing import Any

import dagster as dg
import polars as pl

from kis_assets.defs.asset_metadata import listed, markdown
from kis_assets.defs.checks.registry import LISTED
from kis_assets.defs.materialization import OWNERS
from kis_assets.defs.resources import KISResource, LakeResource, lakes_beside, plain_failures
from kis_assets.errors import InvalidRequest
from kis_assets.lake.lakehouse import Outcome, bring_over
from kis_assets.tables import TABLES

_MB = 1_000_000


@dg.asset(
    deps=sorted(table.name for table in LISTED),
    group_name="lakehouse",
    owners=OWNERS,
    kinds={"deltalake", "parquet"},
    tags={"domain": "lakehouse"},
    description=(
        "Every table as a Delta table at KIS_LAKE_URL, for readers on other machines. Runs publish "
        "what they store; this brings over what is not there: what failed then, and `quality` and "
        "`requests`, which every run writes. A unit that did not change is not written again. "
        "Files that gave way are deleted after KIS_LAKE_KEEP_DAYS."
    ),
)
def lakehouse(
    context: dg.AssetExecutionContext, kis: KISResource, lake: LakeResource
) -> dg.MaterializeResult[Any]:
    """What is behind, brought over; it fails when something could not be, after all else."""
    with plain_failures():
        url = kis.settings.kis_lake_url
        if url is None:
            raise InvalidRequest(
                "KIS_LAKE_URL is not set, so there is nowhere to publish to: set it to "
                "s3://bucket/lake, another object storage or a folder"
            )
        found: list[Outcome] = []
        for mine in lakes_beside(lake.lake):
            for table in TABLES.values():
                if mine.units(table):
                    found.append(bring_over(mine, table, url))
                    if found[-1].failure:
                        context.log.error(f"not published: {found[-1].failure}")
    failed = [it for it in found if it.failure]
    if failed:
        raise dg.Failure(
            f"{len(failed)} of {len(found)} tables could not be published: {failed[0].failure}",
            metadata=_metadata(found),
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata=_metadata(found))


def _metadata(found: list[Outcome]) -> dict[str, Any]:
    rows = sum(it.rows for it in found)
    return {
        "dagster/row_count": rows,
        "bytes": sum(it.bytes for it in found),
        "units brought over": sum(len(it.brought) for it in found),
        "units behind": sum(len(it.behind) for it in found),
        "files deleted": sum(it.deleted for it in found),
        "were behind": listed([f"{it.name} {unit}" for it in found for unit in it.were_behind]),
        "behind": listed([f"{it.name} {unit}" for it in found for unit in it.behind]),
        "tables": markdown(
            pl.DataFrame(
                {
                    "table": [it.name for it in found],
                    "rows": [it.rows for it in found],
                    "MB": [round(it.bytes / _MB, 2) for it in found],
                    "were behind": [len(it.were_behind) for it in found],
                    "brought over": [len(it.brought) for it in found],
                    "files deleted": [it.deleted for it in found],
                    "why not": [it.failure for it in found],
                }
            )
        ),
    }

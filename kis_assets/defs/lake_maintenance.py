"""The job that keeps the lake small and fast: deletes old versions, compacts closed units."""

from collections import Counter

import dagster as dg

from kis_assets.defs.resources import LakeResource, lakes_beside, plain_failures


@dg.op
def maintain(context: dg.OpExecutionContext, lake: LakeResource) -> None:
    """Maintain the lake of the source in use, and the lake of KRX's figures."""
    with plain_failures():
        found = Counter[str]()
        for mine in lakes_beside(lake.lake):
            found.update(mine.maintain())
        context.add_output_metadata(dict(found))

"""The job that keeps the lake small and fast: deletes old versions, compacts closed units."""

import dagster as dg

from kis_assets.defs.resources import LakeResource, plain_failures
from kis_assets.exchange import venues
from kis_assets.lake.lake import Lake


@dg.op
def maintain(context: dg.OpExecutionContext, lake: LakeResource) -> None:
    """Maintain the lake of the source in use, and the lake of KRX's figures."""
    with plain_failures():
        own = lake.lake
        found = own.maintain()
        name = venues.krx_beside(own.source)
        beside = Lake(own.folder.with_name(name), source=name, keep_days=own.keep_days)
        if beside.folder != own.folder and beside.folder.is_dir():
            found = {name: count + found[name] for name, count in beside.maintain().items()}
        context.add_output_metadata(found)

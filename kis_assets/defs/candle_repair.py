"""The job that fetches candles again that were stored before they were final."""

from typing import Any

import dagster as dg

from kis_assets.defs.resources import KISResource, LakeResource, plain_failures
from kis_assets.errors import KISError


@dg.op(pool="kis_history")
def fetch_provisional_candles_again(
    context: dg.OpExecutionContext, kis: KISResource, lake: LakeResource
) -> None:
    """Fetch each month of daily candles with such rows again, in a run of its own."""
    # Imported late: these modules need all definitions, which include this op.
    from kis_assets.execution import backfill
    from kis_assets.execution.repair import make_repair

    with plain_failures():
        plan = make_repair(kis, lake.lake)
        context.log.info(f"{len(plan.partitions)} months, about {plan.requests} requests")
        found = list(backfill.run(plan, kis.settings, context.instance))
        failed = {it.partition: it.error for it in found if it.error}
        made: dict[str, Any] = {"months": len(found), "requests": plan.requests}
        context.add_output_metadata(made | {"failed": len(failed)})
        if failed:
            month, error = next(iter(failed.items()))
            raise KISError(f"{len(failed)} of {len(found)} months failed; {month}: {error}")

"""The project with one schedule more: a capture every minute, whatever the time of the day."""

from __future__ import annotations

import os

import dagster as dg

from kis_assets import definitions
from kis_assets.defs.jobs import price_capture


@dg.schedule(
    job=price_capture,
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The partition that the test says."""
    return dg.RunRequest(
        run_key=str(context.scheduled_execution_time), partition_key=os.environ["CAPTURED_DAY"]
    )


defs = dg.Definitions.merge(definitions.defs, dg.Definitions(schedules=[every_minute]))

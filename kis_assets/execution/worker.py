"""The app of Celery's workers, configured by the run launcher that `dagster.yaml` names.

Start it with `celery -A kis_assets.execution.worker worker`. Broker and queue are configured once.
"""

import logging
import os
import signal
from typing import Any

import dagster as dg
from celery.signals import setup_logging, task_prerun  # pyright: ignore[reportMissingImports]
from dagster_celery.launcher import CeleryRunLauncher  # pyright: ignore[reportMissingImports]
from dagster_celery.tasks import (  # pyright: ignore[reportMissingImports]
    create_execute_job_task,
    create_resume_job_task,
)

from kis_assets.monitoring import json_log
from kis_assets.settings import Settings, SettingsError


def leave_logging(**_: object) -> None:
    """Celery sets up no logging of its own where this is connected."""


try:
    if json_log.begin(Settings.load()):
        setup_logging.connect(leave_logging)
        logging.getLogger("celery").setLevel(logging.INFO)
except SettingsError as error:  # the worker would accept runs, and each would fail
    raise SystemExit(f"error: {error}") from None
with dg.DagsterInstance.get() as instance:
    launcher = instance.run_launcher
if not isinstance(launcher, CeleryRunLauncher):
    raise SystemExit(
        f"error: {instance.root_directory}/dagster.yaml has no CeleryRunLauncher; "
        "deploy/dagster-celery.yaml is one that has"
    )
app: Any = launcher.celery  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
create_execute_job_task(app)
create_resume_job_task(app)


def end_at_once(*_: object) -> None:
    """End this process at once, so that another host makes its run.

    Celery would raise an error in the step instead, and Dagster does not retry a step that failed
    with an error of its own.
    """
    os._exit(1)


@task_prerun.connect  # pyright: ignore[reportUntypedFunctionDecorator]
def end_at_sigquit(**_: Any) -> None:
    """Take SIGQUIT, which a worker that shuts down sends to the process of a run."""
    signal.signal(signal.SIGQUIT, end_at_once)

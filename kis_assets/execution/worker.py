"""The app of Celery's workers, configured by the run launcher that `dagster.yaml` names.

`celery -A kis_assets.execution.worker worker`. So broker, queue and all else are written once.
"""

import logging

import dagster as dg
from celery.signals import setup_logging
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
except SettingsError as error:  # it would take runs, and each of them would fail
    raise SystemExit(f"error: {error}") from None
with dg.DagsterInstance.get() as instance:
    launcher = instance.run_launcher
if not isinstance(launcher, CeleryRunLauncher):
    raise SystemExit(
        f"error: {instance.root_directory}/dagster.yaml has no CeleryRunLauncher; "
        "deploy/dagster-celery.yaml is one that has"
    )
app = launcher.celery
create_execute_job_task(app)
create_resume_job_task(app)

"""The app of Celery's workers, configured by the run launcher that `dagster.yaml` names.

`celery -A kis_assets.execution.worker worker`. So broker, queue and all else are written once.
"""

from typing import Any

import dagster as dg
from dagster_celery.launcher import CeleryRunLauncher  # pyright: ignore[reportMissingImports]
from dagster_celery.tasks import (  # pyright: ignore[reportMissingImports]
    create_execute_job_task,
    create_resume_job_task,
)

from kis_assets.settings import Settings, SettingsError

try:
    Settings.load()
except SettingsError as error:  # it would take runs, and each of them would fail
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

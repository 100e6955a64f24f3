"""The app of Celery's workers, configured by the run launcher that `dagster.yaml` names.

Start it with `celery -A kis_assets.execution.worker worker`. Broker and queue are configured once.
"""

import logging
import os
import signal
from typing import Any

import dagster as dg
from celery.signals import setup_logging, task_postrun, task_prerun  # pyright: ignore[reportMissingImports]
from dagster_celery.launcher import CeleryRunLauncher  # pyright: ignore[reportMissingImports]
from dagster_celery.tasks import (  # pyright: ignore[reportMissingImports]
    create_execute_job_task,
    create_resume_job_task,
)
from dagster_shared.serdes import unpack_value

from kis_assets.monitoring import json_log
from kis_assets.settings import Settings, SettingsError


def leave_logging(**_: object) -> None:
    """Celery sets up no logging of its own where this is connected."""


def refused(why: object) -> SystemExit:
    """The end of a worker that cannot begin, with the reason on standard error."""
    if not json_log.is_on():
        return SystemExit(f"error: {why}")
    json_log.say(logging.ERROR, str(why))
    return SystemExit(1)


try:
    settings = Settings.load()
    if json_log.begin(settings):
        setup_logging.connect(leave_logging)
        logging.getLogger("celery").setLevel(logging.INFO)
        # Celery's pool gives this logger no handler, and has it pass nothing on.
        logging.getLogger("multiprocessing").handlers = logging.root.handlers
except SettingsError as error:  # the worker would accept runs, and each would fail
    raise refused(error) from None
with dg.DagsterInstance.get() as instance:
    launcher = instance.run_launcher
if not isinstance(launcher, CeleryRunLauncher):
    raise refused(
        f"{instance.root_directory}/dagster.yaml has no CeleryRunLauncher; "
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
def begin(kwargs: dict[str, Any], **_: Any) -> None:
    """Make this process the run's, before it loads the definitions, which takes seconds.

    From now on the run ends if this host vanishes. A worker that shuts down sends SIGQUIT.
    """
    # Polars hangs in a process that was forked after it was imported.
    from kis_assets.defs.orphans import process_tag

    signal.signal(signal.SIGQUIT, end_at_once)
    run_id = unpack_value(*kwargs.values()).run_id
    with dg.DagsterInstance.get() as instance:
        instance.add_run_tags(run_id, process_tag(instance, run_id, settings.redis_url))


@task_postrun.connect  # pyright: ignore[reportUntypedFunctionDecorator]
def end(**_: Any) -> None:
    """Let this process end with its own status: the worker sends the signal once it has ended."""
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)

"""What a worker of runs loads.

    celery -A tutormax_pipeline.celery_runs.worker worker --concurrency 8

``dagster-celery worker start -A tutormax_pipeline.celery_runs.worker -- --concurrency 8`` does the same in a
second process, to which it does not pass signals on: to be ended in order, Celery's own command is better.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from celery.signals import worker_shutting_down  # type: ignore[import-untyped]
from celery.worker import state  # type: ignore[import-untyped]
from dagster_celery.defaults import task_default_queue
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

# Loaded before the children are forked, so that a run finds the definitions in place.
import tutormax_pipeline.definitions  # noqa: F401
from tutormax_pipeline.celery_runs.settings import celery_configuration
from tutormax_pipeline.settings import PipelineSettings


def _make_app() -> Celery:
    configuration = celery_configuration(PipelineSettings.load())
    return make_app(  # type: ignore[no-untyped-call]
        {
            "broker": configuration["broker_url"],
            "backend": configuration["result_backend"],
            "config_source": configuration,
            "task_default_queue": task_default_queue,
        }
    )


app = _make_app()
create_execute_job_task(app)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def ask_runs_to_end(**_: Any) -> None:
    """Have the runs end after the batch in hand: a lingering drain would keep the worker for minutes."""
    for request in list(state.active_requests):
        with suppress(ProcessLookupError):
            if request.worker_pid:
                os.kill(request.worker_pid, signal.SIGTERM)

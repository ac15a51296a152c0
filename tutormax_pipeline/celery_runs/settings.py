"""The configuration of Celery, the same for the daemon that launches and the workers that execute."""

from __future__ import annotations

from typing import Any

from tutormax_pipeline.celery_runs.broker import broker_configuration
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS
from tutormax_pipeline.settings import PipelineSettings

#: Redis gives a task that is not acknowledged to another worker after this. A run is over long before:
#: Dagster ends it after ``dagster/max_runtime``. Were it not, the second worker would find it started, and
#: leave it alone.
VISIBILITY_SECONDS = 2 * MAX_RUNTIME_SECONDS
#: States and results of tasks are of use while their run lasts.
_RESULT_SECONDS = 86_400


def celery_configuration(settings: PipelineSettings) -> dict[str, Any]:
    """What Celery is configured with; holds the broker's password.

    Raises:
        ConfigurationError: no broker is named, or a ``REDIS_...`` variable is wrong.
    """
    reached = broker_configuration(settings)
    return {
        **reached,
        "broker_transport_options": {
            **reached["broker_transport_options"],
            "visibility_timeout": VISIBILITY_SECONDS,
        },
        "result_expires": _RESULT_SECONDS,
        "broker_connection_retry_on_startup": True,
        # A run that waits behind a lingering drain, while another worker is idle, would wait for minutes:
        # acknowledged late, a task that is reserved is one that is executed.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # A run has a process of its own, forked from one that has everything loaded: what it does to memory
        # and signals ends with it.
        "worker_max_tasks_per_child": 1,
        # A broker that is away for a moment is no reason to end drains that do not need it.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": False,
    }

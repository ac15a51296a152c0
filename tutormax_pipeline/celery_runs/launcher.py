"""The launcher that gives each run to a worker, and finds the runs whose worker died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.defaults import task_default_queue
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from tutormax_pipeline.celery_runs.settings import celery_configuration
from tutormax_pipeline.settings import PipelineSettings

#: A worker answers within milliseconds, also while all its children are busy; a loaded machine takes longer.
_ANSWER_SECONDS = 10.0


class WorkerRunLauncher(CeleryRunLauncher):
    """Dagster's launcher for Celery, configured by the environment alone, that asks workers for their runs.

    Celery learns that a worker's child died, and says so. That the worker itself died, or its machine, it
    does not: the task stays STARTED, and the run with it. So the run monitoring asks the worker. A run that
    is given up by mistake goes on, and does no harm: the ledger takes each message once.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        configuration = celery_configuration(PipelineSettings.load())
        super().__init__(
            default_queue=task_default_queue,
            broker=configuration["broker_url"],
            backend=configuration["result_backend"],
            config_source=configuration,
            inst_data=inst_data,
        )

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No configuration: it would have to be repeated for the workers."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it from ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_resume_run(self) -> bool:
        """A drain is not resumed: the next one takes up what it held."""
        return False

    def terminate(self, run_id: str) -> bool:
        """Ask a run to end after the batch in hand.

        Returns:
            False where there is nothing to ask: the run ended, or was not given to a worker yet.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        return super().terminate(run_id)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the worker that began a run whether it is at work on it.

        Raises:
            redis.RedisError, kombu.exceptions.OperationalError: the broker is away. The monitoring reports
                that, and leaves the run as it is.
        """
        if DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return CheckRunHealthResult(
                WorkerStatus.RUNNING
            )  # it is written right after the run was launched
        known = super().check_run_worker_health(run)
        if known.status is not WorkerStatus.RUNNING:
            return known
        task_id = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        worker = (self.celery.AsyncResult(task_id).info or {}).get("hostname")
        asked = self.celery.control.inspect(destination=[worker], timeout=_ANSWER_SECONDS, limit=1)
        answers = asked.query_task(task_id) or {}
        if task_id in answers.get(worker, {}):
            return known
        # It may have ended between the two questions.
        again = super().check_run_worker_health(run)
        if again.status is not WorkerStatus.RUNNING:
            return again
        why = "has no such run" if worker in answers else f"did not answer within {_ANSWER_SECONDS:g} s"
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND, f"Worker {worker} {why}. What the run held is taken up again."
        )

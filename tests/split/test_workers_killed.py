"""Workers of Celery that are killed in the middle of a drain, stopped, or asked twice."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.tasks import create_execute_job_task

from tests.conftest import patiently, wait_until
from tests.split.deployment import Deployment
from tests.split.pipeline import SOON_SECONDS, Pipeline
from tutormax_pipeline.celery_runs.launcher import WorkerRunLauncher

MANY = 2_000
LINGERS = {"sessions": {"config": {"linger_seconds": 120, "batch_size": 10}}}

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def drain_in_the_middle(workers: Deployment, pipeline: Pipeline) -> str:
    """A run that has stored some of many sessions."""
    run = workers.launch("drain_sessions", LINGERS)
    workers.wait_for(run, "STARTED")
    before = pipeline.settled()
    pipeline.publish(MANY)
    wait_until(lambda: pipeline.settled() > before, SOON_SECONDS, "the first batch")
    return run


def test_a_worker_drains_is_killed_in_the_middle_stopped_or_asked_twice_and_the_books_balance(
    workers: Deployment, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.start("code", "daemon", "web", "worker")
    workers.wait_until_up()
    run = drain_in_the_middle(workers, pipeline)
    assert "dagster-celery/task_id" in workers.tags(run)
    workers.kill("worker")
    assert pipeline.settled() < pipeline.published
    workers.start("worker")
    workers.wait_for(run, "FAILURE")
    pipeline.assert_all_stored_once()

    # The broker gives a task to a second worker, as after its visibility timeout: it leaves the run alone.
    run = workers.launch("drain_sessions", LINGERS)
    workers.wait_for(run, "STARTED")
    for name, value in workers.environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(workers.home)) as instance:
        deliver_again(instance, run)
        patiently(lambda: "Ignoring a duplicate run" in messages(instance, run), SOON_SECONDS, "the refusal")
    assert workers.status(run) == "STARTED"
    pipeline.publish(50)
    pipeline.assert_all_stored_once()
    assert pipeline.stored_by()[run] == 50

    # A worker that is asked to end does not linger for the two minutes that its drain would.
    workers.processes["worker"].terminate()
    assert workers.processes["worker"].wait(SOON_SECONDS) == 0
    workers.wait_for(run, "FAILURE")


def deliver_again(instance: dg.DagsterInstance, run_id: str) -> None:
    launcher, run = instance.run_launcher, instance.get_run_by_id(run_id)
    assert isinstance(launcher, WorkerRunLauncher)
    assert run is not None
    assert run.job_code_origin is not None
    arguments = ExecuteRunArgs(run.job_code_origin, run_id, instance.get_ref(), set_exit_code_on_failure=True)
    task = create_execute_job_task(launcher.celery)
    task.si(execute_job_args_packed=pack_value(arguments)).apply_async(
        queue="dagster", routing_key="dagster.execute_job"
    )


def messages(instance: dg.DagsterInstance, run_id: str) -> str:
    return "\n".join(event.message for event in instance.all_logs(run_id))

"""Runs on workers of Celery, as dagster.celery.yaml has it: daemon, broker and worker for real."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.tasks import create_execute_job_task

from queue_core.embedded import EmbeddedServer
from queue_core.errors import ConfigurationError
from tests.conftest import patiently, wait_until
from tests.split.conftest import NASTY
from tests.split.deployment import Deployment
from tests.split.pipeline import SOON_SECONDS, Pipeline
from tutormax_pipeline.celery_runs.launcher import WorkerRunLauncher
from tutormax_pipeline.celery_runs.settings import VISIBILITY_SECONDS, celery_configuration
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS
from tutormax_pipeline.settings import PipelineSettings

MANY = 2_000
LINGERS = {"sessions": {"config": {"linger_seconds": 120, "batch_size": 10}}}


@pytest.fixture
def workers(
    dagster_database: dict[str, str], pipeline: Pipeline, valkey: EmbeddedServer, tmp_path: Path
) -> Iterator[Deployment]:
    variables = {
        **dagster_database,
        **pipeline.variables(),
        "TUTORMAX_CELERY_BROKER_URL": valkey.url,
        "TUTORMAX_CELERY_KEY_PREFIX": f"{pipeline.prefix}-celery:",
    }
    with Deployment(tmp_path, "dagster.celery.yaml", variables) as deployment:
        deployment.start("code", "daemon", "web", "worker")
        deployment.wait_until_up()
        yield deployment


def drain_in_the_middle(workers: Deployment, pipeline: Pipeline) -> str:
    """A run that has stored some of many sessions."""
    run = workers.launch("drain_sessions", LINGERS)
    workers.wait_for(run, "STARTED")
    before = pipeline.settled()
    pipeline.publish(MANY)
    wait_until(lambda: pipeline.settled() > before, SOON_SECONDS, "the first batch")
    return run


@pytest.mark.timeout(300)
def test_a_worker_drains_is_killed_in_the_middle_stopped_or_asked_twice_and_the_books_balance(
    workers: Deployment, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_the_broker_gives_no_task_to_a_second_worker_before_its_run_is_over() -> None:
    found = celery_configuration(PipelineSettings.load(celery_broker_url="redis://localhost/1"))
    assert found["broker_transport_options"]["visibility_timeout"] == VISIBILITY_SECONDS
    settings = PipelineSettings.load()
    assert (
        VISIBILITY_SECONDS > MAX_RUNTIME_SECONDS > settings.drain_max_seconds + settings.drain_outage_seconds
    )


def test_a_broker_over_tls_is_checked_by_the_certificates_of_the_queues_redis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_SSL_CA_CERTS", "/etc/our-ca.pem")
    monkeypatch.setenv("REDIS_SSL_CHECK_HOSTNAME", "false")
    found = celery_configuration(PipelineSettings.load(celery_broker_url="rediss://localhost/1"))
    for tls in (found["broker_use_ssl"], found["redis_backend_use_ssl"]):
        assert (tls["ssl_cert_reqs"], tls["ssl_ca_certs"]) == (ssl.CERT_REQUIRED, "/etc/our-ca.pem")
        assert tls["ssl_check_hostname"] is False
    assert "broker_use_ssl" not in celery_configuration(
        PipelineSettings.load(celery_broker_url="redis://localhost/1")
    )


def test_a_worker_without_a_broker_says_which_variable_to_set() -> None:
    with pytest.raises(ConfigurationError, match="TUTORMAX_CELERY_BROKER_URL: is not set"):
        celery_configuration(PipelineSettings.load())


def test_a_broker_of_another_kind_is_refused_without_showing_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_CELERY_BROKER_URL", "amqp://user:hunter2@host//")
    with pytest.raises(ConfigurationError, match="must start with redis://") as raised:
        PipelineSettings.load()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("password", [NASTY, "hunter2/hunter2", "hunter2#hunter2", "12/hunter2", "hunter2?x"])
def test_a_password_that_breaks_the_brokers_address_is_not_shown(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTORMAX_CELERY_BROKER_URL", f"redis://:{password}@host:6379/1")
    with pytest.raises(ConfigurationError, match=r"TUTORMAX_CELERY_BROKER_URL.*cannot be read") as raised:
        PipelineSettings.load()
    assert not [word for word in ("hunter2", "w%rd", "12/") if word in str(raised.value)]

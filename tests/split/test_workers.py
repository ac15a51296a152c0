"""Runs on workers of Celery, as dagster.celery.yaml has it: daemon, broker and worker for real."""

from __future__ import annotations

import ssl

import dagster as dg
import pytest

from queue_core.errors import ConfigurationError
from tests.split.conftest import NASTY
from tests.split.deployment import Deployment
from tests.split.pipeline import Pipeline
from tutormax_pipeline.celery_runs.settings import VISIBILITY_SECONDS, celery_configuration
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS
from tutormax_pipeline.settings import PipelineSettings


@pytest.mark.timeout(240)
def test_a_run_that_a_sensor_asks_for_drains_on_a_worker(
    workers: Deployment, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is killed in the middle, and asked twice: test_workers_killed.py."""
    workers.start("code", "daemon", "worker")
    pipeline.publish(50)
    pipeline.assert_all_stored_once()
    for name, value in workers.environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(workers.home)) as instance:
        runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(job_name="drain_sessions"))}
    for drained in pipeline.stored_by():
        assert "dagster-celery/task_id" in runs[drained].tags


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

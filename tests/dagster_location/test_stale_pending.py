"""What was left is given back by a run of its own: when its holder has ended, or holds it for too long."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import RELEASED_CONSUMER
from queue_core.errors import QueueUnavailableError
from tests.conftest import wait_until
from tests.dagster_location.test_sensors import ENDED, IN_FLIGHT, ORIGIN, Resources
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.lanes import lane_runs_in_flight, runs_in_flight
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.defs.stale_pending import stale_pending_sensor

TUTORS = QueueChannels.TUTORS


def tick(resources: Resources, instance: dg.DagsterInstance) -> dg.SensorResult:
    context = dg.build_sensor_context(instance=instance, resources={"queue": resources["queue"]})
    result = stale_pending_sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def hold(client: RedisClient, name: str, messages: int = 2) -> MessageConsumer:
    """A consumer that took some tutors and keeps them."""
    MessagePublisher(client).publish_batch(
        TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(messages)]
    )
    consumer = MessageConsumer(client, name)
    assert len(consumer.read(TUTORS, messages)) == messages
    return consumer


def drain_run(instance: dg.DagsterInstance, status: str = "STARTED") -> dg.DagsterRun:
    job = defs.resolve_job_def("drain_tutors")
    return instance.create_run_for_job(job, status=dg.DagsterRunStatus(status), remote_job_origin=ORIGIN)


def test_with_nothing_held_it_skips(resources: Resources, instance: dg.DagsterInstance) -> None:
    result = tick(resources, instance)
    assert not result.run_requests
    assert "Nothing is held" in str(result.skip_reason)


@pytest.mark.parametrize("status", ENDED)
def test_what_a_run_that_ended_holds_is_given_back_at_once(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, status: str
) -> None:
    run = drain_run(instance, status)
    consumer = hold(client, f"run:{run.run_id}")
    (request,) = tick(resources, instance).run_requests
    assert request.run_config["ops"]["reclaim"]["config"] == {
        "channels": ["tutors"],
        "consumer": f"run:{run.run_id}",
        "min_idle_seconds": 0.0,
    }
    assert (request.tags["lane"], request.tags["queue"]) == ("reclaim", "tutors")
    result = defs.resolve_job_def("reclaim_pending").execute_in_process(
        instance=instance, resources=resources, run_config=request.run_config
    )
    assert result.success
    assert {one.consumer for one in consumer.get_pending_messages(TUTORS)} == {RELEASED_CONSUMER}
    assert not tick(resources, instance).run_requests


@pytest.mark.parametrize("status", IN_FLIGHT)
def test_what_a_run_at_work_holds_is_left_alone(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, status: str
) -> None:
    hold(client, f"run:{drain_run(instance, status).run_id}")
    assert not tick(resources, instance).run_requests


@pytest.mark.parametrize("name", ["run:of-another-dagster", "worker-7", "run:"])
def test_what_a_holder_unknown_to_dagster_holds_is_left_until_it_is_stale(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    hold(client, name)
    assert not tick(resources, instance).run_requests
    monkeypatch.setenv("REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS", "0.02")
    (request,) = wait_until(lambda: tick(resources, instance).run_requests)
    assert request.run_config["ops"]["reclaim"]["config"]["channels"] == ["tutors"]
    assert "2 of tutors" in request.tags["tutormax/started_because"]


def test_what_cannot_be_given_back_launches_nothing_again_and_again(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = hold(client, f"run:{drain_run(instance, 'FAILURE').run_id}")
    deleted, retried = consumer.get_pending_messages(TUTORS)
    client.redis.xdel(client.keys.stream(TUTORS), deleted.entry_id)
    client.redis.zadd(client.keys.retry(TUTORS), {retried.entry_id: time.time() * 1000 + 60_000})
    monkeypatch.setenv("REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS", "0.001")
    assert not tick(resources, instance).run_requests


def test_one_such_run_is_in_flight_at_the_most(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    hold(client, f"run:{drain_run(instance, 'FAILURE').run_id}")
    job = defs.resolve_job_def("reclaim_pending")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=job.tags)
    result = tick(resources, instance)
    assert not result.run_requests
    assert "reclaim_pending is running" in str(result.skip_reason)


def test_redis_away_fails_the_tick_in_words(instance: dg.DagsterInstance) -> None:
    with pytest.raises(QueueUnavailableError, match="not available"):
        tick({"queue": QueueResource(url="redis://127.0.0.1:1/0")}, instance)


def test_a_run_that_died_unnoticed_blocks_its_lane_no_longer_than_it_may_take(
    instance: dg.DagsterInstance,
) -> None:
    job = defs.resolve_job_def("drain_tutors")
    run = instance.create_run_for_job(job, tags={**job.tags, "dagster/max_runtime": "600"})
    instance.handle_new_event(_started(run))
    now = datetime.now(UTC)
    assert runs_in_flight(instance, TUTORS, now) == 1
    assert runs_in_flight(instance, TUTORS, now + timedelta(seconds=700)) == 1
    assert runs_in_flight(instance, TUTORS, now + timedelta(seconds=730)) == 0


def test_a_run_that_is_queued_for_long_still_counts(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_job_def("drain_tutors")
    instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.QUEUED, tags=job.tags, remote_job_origin=ORIGIN
    )
    assert lane_runs_in_flight(instance, "tutors", now=datetime.now(UTC) + timedelta(days=30)) == 1


def _started(run: dg.DagsterRun) -> dg.EventLogEntry:
    event = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name=run.job_name)
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run.run_id,
        timestamp=time.time(),
        job_name=run.job_name,
        dagster_event=event,
    )

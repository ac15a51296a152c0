"""A tick looks, decides, and says why."""

from __future__ import annotations

import dagster as dg
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import QueueUnavailableError
from queue_core.monitor import snapshot
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.defs.sensors import queue_sensors

TUTORS = QueueChannels.TUTORS

Resources = dict[str, object]


def tick(resources: Resources, instance: dg.DagsterInstance) -> dg.SensorResult:
    sensor = queue_sensors[0]
    context = dg.build_sensor_context(instance=instance, resources={"queue": resources["queue"]})
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_an_idle_queue_is_skipped_with_the_reason(resources: Resources, instance: dg.DagsterInstance) -> None:
    result = tick(resources, instance)
    assert not result.run_requests
    assert "Nothing waits" in str(result.skip_reason)


def test_waiting_messages_start_one_run_that_lingers(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_DRAIN_LINGER_SECONDS", "7")
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    (request,) = tick(resources, instance).run_requests
    assert request.run_config["ops"]["tutors"]["config"]["linger_seconds"] == 7
    assert request.tags["lane"] == "tutors"
    assert "1 messages wait" in request.tags["tutormax/started_because"]
    assert request.run_key is None
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending) == (1, 0)


@pytest.mark.parametrize("lane", ["tutors", "all"])
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.STARTED])
def test_while_a_run_of_the_lane_is_in_flight_no_other_is_started(
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    lane: str,
    status: dg.DagsterRunStatus,
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    job = defs.resolve_job_def("drain_tutors")
    run = instance.create_run_for_job(job, status=status, tags={"lane": lane})
    assert "is running" in str(tick(resources, instance).skip_reason)
    instance.report_run_failed(run)
    assert tick(resources, instance).run_requests


def test_a_run_of_another_lane_is_no_hindrance(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    job = defs.resolve_job_def("drain_sessions")
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert tick(resources, instance).run_requests


def test_messages_given_back_are_taken_up(
    publisher: MessagePublisher, consumer: MessageConsumer, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    consumer.create_consumer_group(TUTORS)
    consumer.release(TUTORS, [entry.id for entry in consumer.read(TUTORS, 1)])
    (request,) = tick(resources, instance).run_requests
    assert "left by a consumer" in request.tags["tutormax/started_because"]


def test_redis_away_fails_the_tick_in_words(instance: dg.DagsterInstance) -> None:
    with pytest.raises(QueueUnavailableError, match="not available"):
        tick({"queue": QueueResource(url="redis://127.0.0.1:1/0")}, instance)

"""A tick looks, decides, and says why."""

from __future__ import annotations

import time

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import ConfigurationError, QueueUnavailableError
from queue_core.monitor import snapshot
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.defs.sensors import queue_sensors

TUTORS = QueueChannels.TUTORS
IN_FLIGHT = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
ENDED = ["SUCCESS", "FAILURE", "CANCELED"]
#: A run cannot be queued without one.
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tutormax"), "r").get_job_origin("drain_tutors")

Resources = dict[str, object]


def tick(resources: Resources, instance: dg.DagsterInstance, channel: Channel = TUTORS) -> dg.SensorResult:
    (sensor,) = [one for one in queue_sensors if one.name == f"{channel.name}_queue_sensor"]
    context = dg.build_sensor_context(instance=instance, resources={"queue": resources["queue"]})
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def publish(publisher: MessagePublisher, count: int = 1) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(count)])


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_an_idle_queue_is_skipped_with_the_reason(
    resources: Resources, instance: dg.DagsterInstance, channel: Channel
) -> None:
    result = tick(resources, instance, channel)
    assert not result.run_requests
    assert "Nothing waits" in str(result.skip_reason)


def test_waiting_messages_start_one_run_that_lingers(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_DRAIN_LINGER_SECONDS", "0.01")
    monkeypatch.setenv("TUTORMAX_DRAIN_MAX_SECONDS", "70")
    publish(publisher)
    (request,) = tick(resources, instance).run_requests
    config = request.run_config["ops"]["tutors"]["config"]
    assert (config["linger_seconds"], config["max_seconds"]) == (0.01, 70)
    assert (request.tags["lane"], request.tags["dagster/max_runtime"]) == ("tutors", "7200")
    assert "1 messages wait" in request.tags["tutormax/started_because"]
    assert request.run_key is None
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending) == (1, 0)
    result = defs.resolve_job_def("drain_tutors").execute_in_process(
        instance=instance, resources=resources, run_config=request.run_config
    )
    assert result.success
    assert "Nothing waits" in str(tick(resources, instance).skip_reason)


def test_a_channel_is_watched_by_its_own_sensor_alone(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(publisher)
    assert tick(resources, instance, TUTORS).run_requests
    assert not tick(resources, instance, QueueChannels.SESSIONS).run_requests


def test_a_drain_starts_by_count_before_it_would_by_age(
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_DRAIN_MIN_MESSAGES", "3")
    monkeypatch.setenv("TUTORMAX_DRAIN_MAX_WAIT_SECONDS", "600")
    publish(publisher, count=2)
    skipped = tick(resources, instance)
    assert not skipped.run_requests
    assert "2 messages wait, fewer than TUTORMAX_DRAIN_MIN_MESSAGES=3" in str(skipped.skip_reason)
    publish(publisher)
    (request,) = tick(resources, instance).run_requests
    assert request.tags["tutormax/started_because"] == "3 messages wait."


def test_a_drain_starts_by_age_though_too_few_wait(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_DRAIN_MAX_WAIT_SECONDS", "600")
    long_ago_ms = int((time.time() - 601) * 1000)
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"{}"}, id=f"{long_ago_ms}-0")
    (request,) = tick(resources, instance).run_requests
    assert "1 messages wait, the oldest for 60" in request.tags["tutormax/started_because"]


@pytest.mark.parametrize("lane", ["tutors", "all"])
def test_while_a_run_of_the_lane_is_in_flight_no_other_is_started(
    publisher: MessagePublisher, resources: Resources, lane: str
) -> None:
    publish(publisher)
    job = defs.resolve_job_def("drain_tutors")
    for status in IN_FLIGHT:
        with dg.DagsterInstance.ephemeral() as instance:
            instance.create_run_for_job(
                job, status=dg.DagsterRunStatus(status), tags={"lane": lane}, remote_job_origin=ORIGIN
            )
            result = tick(resources, instance)
            assert not result.run_requests, status
            assert "is running" in str(result.skip_reason)


def test_runs_that_ended_and_runs_of_other_lanes_are_no_hindrance(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(publisher)
    job = defs.resolve_job_def("drain_tutors")
    for status in ENDED:
        instance.create_run_for_job(job, status=dg.DagsterRunStatus(status), tags={"lane": "tutors"})
    other = defs.resolve_job_def("drain_sessions")
    instance.create_run_for_job(other, status=dg.DagsterRunStatus.STARTED)
    assert tick(resources, instance).run_requests


def test_messages_given_back_are_taken_up(
    publisher: MessagePublisher, consumer: MessageConsumer, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(publisher)
    consumer.create_consumer_group(TUTORS)
    consumer.release(TUTORS, [entry.id for entry in consumer.read(TUTORS, 1)])
    (request,) = tick(resources, instance).run_requests
    assert "left by a consumer" in request.tags["tutormax/started_because"]


def test_what_a_dead_consumer_holds_is_taken_up_once_it_is_stale(
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(publisher)
    consumer.create_consumer_group(TUTORS)
    assert len(consumer.read(TUTORS, 1)) == 1
    assert "1 pending" in str(tick(resources, instance).skip_reason)
    monkeypatch.setenv("REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS", "0.05")
    deadline = time.monotonic() + 10
    while not (requests := tick(resources, instance).run_requests):
        assert time.monotonic() < deadline
    assert "left by a consumer" in requests[0].tags["tutormax/started_because"]


def test_a_retry_starts_a_drain_when_it_is_due_and_not_before(
    client: RedisClient,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    resources: Resources,
    instance: dg.DagsterInstance,
) -> None:
    publish(publisher)
    consumer.create_consumer_group(TUTORS)
    (entry,) = consumer.read(TUTORS, 1)
    retry, now_ms = client.keys.retry(TUTORS), time.time() * 1000
    client.redis.zadd(retry, {entry.id: now_ms + 60_000})
    assert not tick(resources, instance).run_requests
    client.redis.zadd(retry, {entry.id: now_ms - 1})
    (request,) = tick(resources, instance).run_requests
    assert request.tags["tutormax/started_because"] == "A retry is due."


def test_redis_away_fails_the_tick_in_words(instance: dg.DagsterInstance) -> None:
    with pytest.raises(QueueUnavailableError, match="not available"):
        tick({"queue": QueueResource(url="redis://127.0.0.1:1/0")}, instance)


def test_a_bad_setting_fails_the_tick_with_its_name(
    resources: Resources, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTORMAX_DRAIN_MIN_MESSAGES", "0")
    with pytest.raises(ConfigurationError, match=r"^TUTORMAX_DRAIN_MIN_MESSAGES"):
        tick(resources, instance)

"""Giving back what was left: by the job, and at once when a run is known to have ended."""

from __future__ import annotations

import dagster as dg
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import RELEASED_CONSUMER
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.ended_runs import drain_canceled_sensor, drain_failure_sensor
from tutormax_pipeline.defs.resources import QueueResource

TUTORS = QueueChannels.TUTORS

Resources = dict[str, object]


@pytest.fixture
def left(client: RedisClient, publisher: MessagePublisher) -> MessageConsumer:
    """A consumer that took three tutors and is gone."""
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(3)])
    consumer = MessageConsumer(client, "run:gone")
    consumer.create_consumer_group(TUTORS)
    consumer.read(TUTORS, 3)
    return consumer


def holders(consumer: MessageConsumer) -> set[str]:
    return {one.consumer for one in consumer.get_pending_messages(TUTORS)}


def reclaim(
    instance: dg.DagsterInstance, resources: Resources, **config: object
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("reclaim_pending").execute_in_process(
        instance=instance,
        resources=resources,
        run_config={"ops": {"reclaim": {"config": config}}},
        raise_on_error=False,
    )


def test_the_job_gives_back_what_was_left_and_tells_by_whom(
    left: MessageConsumer, resources: Resources, instance: dg.DagsterInstance
) -> None:
    result = reclaim(instance, resources, min_idle_seconds=0, channels=["tutors"])
    (row,) = result.output_for_node("reclaim")
    assert row.pop("oldest_seconds") < 60
    assert row == {
        "channel": "tutors",
        "consumer": "run:gone",
        "given_back": 3,
        "lost": 0,
        "most_deliveries": 1,
    }
    (event,) = [event for event in result.all_node_events if event.is_successful_output]
    told = event.event_specific_data.metadata
    assert (told["given_back"].value, told["lost"].value, told["scheduled_for_retry"].value) == (3, 0, 0)
    assert holders(left) == {RELEASED_CONSUMER}


def test_as_it_stands_the_job_leaves_alone_what_is_worked_on(
    left: MessageConsumer, resources: Resources, instance: dg.DagsterInstance
) -> None:
    assert reclaim(instance, resources).output_for_node("reclaim") == []
    assert (
        reclaim(instance, resources, min_idle_seconds=0, consumer="run:other").output_for_node("reclaim")
        == []
    )
    assert holders(left) == {"run:gone"}


def test_deleted_entries_are_told_as_lost(
    client: RedisClient, left: MessageConsumer, resources: Resources, instance: dg.DagsterInstance
) -> None:
    client.redis.xdel(client.keys.stream(TUTORS), left.get_pending_messages(TUTORS)[0].entry_id)
    (row,) = reclaim(instance, resources, min_idle_seconds=0).output_for_node("reclaim")
    assert (row["given_back"], row["lost"]) == (2, 1)


def test_with_redis_away_the_job_fails_in_one_line(instance: dg.DagsterInstance) -> None:
    result = reclaim(instance, {"queue": QueueResource(url="redis://127.0.0.1:1/0")})
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert "127.0.0.1:1/0 is not available" in event.step_failure_data.user_failure_data.description


@pytest.mark.parametrize(
    ("sensor", "end"),
    [
        (drain_failure_sensor, "report_run_failed"),
        (drain_canceled_sensor, "report_run_canceled"),
    ],
    ids=["failure", "canceled"],
)
def test_what_an_ended_run_held_is_given_back_at_once(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    sensor: dg.SensorDefinition,
    end: str,
) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(2)])
    run = instance.create_run_for_job(defs.resolve_job_def("drain_tutors"))
    gone, other = MessageConsumer(client, f"run:{run.run_id}"), MessageConsumer(client, "run:other")
    gone.read(TUTORS, 1)
    other.read(TUTORS, 1)
    getattr(instance, end)(run)
    (event,) = [log for log in instance.all_logs(run.run_id) if log.is_dagster_event][-1:]
    assert event.dagster_event is not None
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_instance=instance,
        dagster_run=run,
        dagster_event=event.dagster_event,
        resources={"queue": resources["queue"]},
    )
    sensor(context)
    assert [one.consumer for one in other.get_pending_messages(TUTORS)] == [RELEASED_CONSUMER, "run:other"]

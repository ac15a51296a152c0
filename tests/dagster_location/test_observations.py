"""What a tick keeps: an observation of the queue, and the verdicts of its two checks."""

from __future__ import annotations

import time
from typing import Any

import dagster as dg
import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from tests.dagster_location.test_assets import MARK, Resources, drain_tutors
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.defs.sensors import queue_sensors

TUTORS = QueueChannels.TUTORS
AGE, DEAD = "oldest_unprocessed_age", "dead_letters_under_limit"


class Sensor:
    """The tutors' sensor with its daemon: ticks carry the cursor on, and what they say is recorded."""

    def __init__(self, instance: dg.DagsterInstance, resources: Resources) -> None:
        self.instance, self.resources, self.cursor = instance, resources, None

    def tick(self, after_seconds: float = 0) -> dg.SensorResult:
        """One tick, so many seconds after the last one."""
        if self.cursor and after_seconds:
            then: dict[str, Any] = orjson.loads(self.cursor)
            for name in ("observed_at", "unchanged_at"):
                then[name] -= after_seconds
            self.cursor = orjson.dumps(then).decode()
        context = dg.build_sensor_context(
            instance=self.instance, resources={"queue": self.resources["queue"]}, cursor=self.cursor
        )
        (sensor,) = [one for one in queue_sensors if one.name == "tutors_queue_sensor"]
        result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return result

    def verdicts(self) -> dict[str, bool]:
        """The latest verdict on each of the two checks."""
        keys = [dg.AssetCheckKey(dg.AssetKey("tutors"), name) for name in (AGE, DEAD)]
        latest = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        return {key.name: record.status.value == "SUCCEEDED" for key, record in latest.items()}


@pytest.fixture
def sensor(instance: dg.DagsterInstance, resources: Resources) -> Sensor:
    return Sensor(instance, resources)


def observations(result: dg.SensorResult) -> list[dict[str, Any]]:
    return [
        {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events
        if isinstance(event, dg.AssetObservation)
    ]


def evaluations(result: dg.SensorResult) -> dict[str, dg.AssetCheckEvaluation]:
    events = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
    return {event.check_name: event for event in events}


def publish(publisher: MessagePublisher, count: int, start: int = 0) -> None:
    publisher.publish_batch(
        TUTORS, [{"tutor_id": f"T{n}", "name": MARK} for n in range(start, start + count)]
    )


def test_a_tick_observes_every_figure_and_no_content(publisher: MessagePublisher, sensor: Sensor) -> None:
    publish(publisher, 3)
    result = sensor.tick()
    assert result.run_requests
    (event, *_) = result.asset_events
    assert event.asset_key == dg.AssetKey(["queue", "tutors"])
    (figures,) = observations(result)
    assert 0 < figures.pop("stream_memory_bytes") < figures.pop("server_memory_bytes")
    assert 0 <= figures.pop("oldest_unprocessed_age_seconds") < 60
    assert figures == {
        "waiting": 3,
        "pending": 0,
        "scheduled_for_retry": 0,
        "dead_letters": 0,
        "entries_added": 3,
        "added_per_minute": 0,
        "settled_per_minute": 0,
    }
    assert MARK not in repr(result.asset_events) + str(result.cursor)


def test_an_idle_queue_is_observed_once_on_its_skipped_ticks(sensor: Sensor) -> None:
    first = sensor.tick()
    assert not first.run_requests
    assert len(observations(first)) == 1
    assert [len(sensor.tick(after_seconds=60).asset_events) for _ in range(3)] == [0, 0, 0]


def test_a_change_shows_a_minute_after_the_last_with_its_rates(
    publisher: MessagePublisher, sensor: Sensor
) -> None:
    sensor.tick()
    publish(publisher, 120)
    assert sensor.tick().asset_events == []
    drain_tutors(sensor.instance, sensor.resources)
    (figures,) = observations(sensor.tick(after_seconds=120))
    assert (figures["waiting"], figures["entries_added"]) == (0, 120)
    assert figures["added_per_minute"] == figures["settled_per_minute"] == pytest.approx(60, rel=0.1)


def test_the_first_tick_gives_both_checks_a_verdict_and_the_next_do_not_repeat_it(
    publisher: MessagePublisher, sensor: Sensor
) -> None:
    sensor.tick()
    assert sensor.verdicts() == {AGE: True, DEAD: True}
    publish(publisher, 1)
    result = sensor.tick(after_seconds=60)
    assert observations(result)
    assert evaluations(result) == {}


def test_where_nothing_drains_the_age_turns_red_and_says_what_to_do(
    client: RedisClient, sensor: Sensor
) -> None:
    sensor.tick()
    long_ago_ms = int((time.time() - 1_000) * 1000)
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"{}"}, id=f"{long_ago_ms}-0")
    found = evaluations(sensor.tick(after_seconds=60))
    assert (list(found), found[AGE].passed, found[AGE].severity) == (
        [AGE],
        False,
        dg.AssetCheckSeverity.ERROR,
    )
    assert "tutors_queue_sensor is on" in (found[AGE].description or "")
    assert sensor.verdicts() == {AGE: False, DEAD: True}
    assert list(evaluations(sensor.tick(after_seconds=60))) == [AGE]


def test_a_verdict_of_a_run_is_corrected_though_the_sensor_had_said_the_same_before(
    publisher: MessagePublisher, sensor: Sensor
) -> None:
    sensor.tick()
    failed = dg.AssetCheckEvaluation(dg.AssetKey("tutors"), AGE, passed=False)
    sensor.instance.report_runless_asset_event(failed)
    publish(publisher, 1)
    assert evaluations(sensor.tick(after_seconds=60))[AGE].passed
    assert sensor.verdicts()[AGE]


def test_dead_letters_beyond_their_limit_turn_it_red(
    client: RedisClient, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTORMAX_ALERT_DEAD_LETTERS", "1")
    for _ in range(2):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": "junk"})
    job = defs.resolve_job_def("drain_tutors")
    assert job.execute_in_process(instance=sensor.instance, resources=sensor.resources).success
    assert sensor.verdicts() == {AGE: True, DEAD: False}
    found = evaluations(sensor.tick())
    assert list(found) == [DEAD]
    assert "2 dead letters of tutors" in (found[DEAD].description or "")


def test_a_user_who_may_not_ask_for_memory_is_observed_without(
    client: RedisClient, valkey: EmbeddedServer, sensor: Sensor, consumer: MessageConsumer
) -> None:
    rules = {"commands": ["+@all", "-info", "-memory|usage"], "keys": ["*"], "passwords": ["+secret"]}
    client.redis.acl_setuser("watcher", enabled=True, reset=True, **rules)
    try:
        url = valkey.url.replace("//", "//watcher:secret@", 1)
        sensor.resources["queue"] = QueueResource(url=url, key_prefix=client.settings.key_prefix)
        (figures,) = observations(sensor.tick())
        assert "waiting" in figures
        assert "server_memory_bytes" not in figures
    finally:
        client.redis.acl_deluser("watcher")

"""Materializing drains: in process, with resources of the test."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.assets import drain_assets
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.database import Purpose

TUTORS = QueueChannels.TUTORS
MARK = "MARKED-NAME-OF-A-PERSON"

Resources = dict[str, object]


def publish_all(publisher: MessagePublisher, count: int = 3) -> None:
    for n in range(count):
        publisher.publish_tutor_data({"tutor_id": f"T{n}", "name": MARK, "demographics": {"age": MARK}})
        publisher.publish_session_data({"session_id": f"S{n}", "tutor_id": "T", "notes": MARK})
        publisher.publish_feedback({"feedback_id": f"F{n}", "tutor_id": "T", "rating": 4, "comment": MARK})


def drain_tutors(
    instance: dg.DagsterInstance, resources: Resources, **config: object
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [drain_assets[0]],
        instance=instance,
        resources=resources,
        run_config={"ops": {"tutors": {"config": config}}},
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, object]:
    (event,) = result.asset_materializations_for_node("tutors")
    return {name: value.value for name, value in event.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the person who looks at the failed run reads first."""
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None, event.step_failure_data.error
    return event.step_failure_data.user_failure_data.description


def test_a_materialization_tells_what_the_drain_did(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher)
    publisher.publish(TUTORS, {"tutor_id": "T9", "name": MARK, "rating": 6})
    stream = client.keys.stream(TUTORS)
    ((_, again),) = client.redis.xrange(stream, count=1)
    client.redis.xadd(stream, again)
    client.redis.xadd(stream, {"message": b"junk " + MARK.encode()})
    values = metadata(drain_tutors(instance, resources))
    assert values["dagster/row_count"] == 3
    assert (values["stored"], values["duplicate"], values["dead_lettered"]) == (3, 1, 2)
    assert (values["settled_before"], values["batches"]) == (0, 1)
    assert (values["lag_before"], values["lag_after"], values["pending_after"]) == (6, 0, 0)
    assert values["messages_per_second"] > 0
    assert values["seconds"] > 0
    p50, p95, worst = (values[f"publish_to_stored_{one}_ms"] for one in ("p50", "p95", "max"))
    assert 0 < p50 <= p95 <= worst
    assert "| invalid | 1 |" in values["dead_letters_by_reason"]
    assert "| malformed | 1 |" in values["dead_letters_by_reason"]


def test_a_materialization_of_an_empty_queue_says_so(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    values = metadata(drain_tutors(instance, resources))
    assert (values["dagster/row_count"], values["stored"], values["lag_before"]) == (0, 0, 0)
    assert values["messages_per_second"] == 0
    assert "publish_to_stored_p50_ms" not in values
    assert "dead_letters_by_reason" not in values


def test_one_run_drains_every_channel_and_its_events_hold_no_personal_data(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish_all(publisher)
    publisher.publish(TUTORS, {"tutor_id": "T9", "name": MARK, "rating": MARK, "active": MARK})
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk " + MARK.encode()})
    client.redis.xadd(client.keys.stream(TUTORS), {MARK.encode(): b"x"})
    result = defs.resolve_job_def("drain_all").execute_in_process(instance=instance, resources=resources)
    assert result.success
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        assert [store.row_count(channel) for channel in QueueChannels.all()] == [3, 3, 3]
    assert_no_personal_data(instance, result.run_id, capfd)


def test_a_run_that_fails_with_messages_in_hand_shows_nothing_of_them(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_TIMEOUT_SECONDS", "0.05")
    publish_all(publisher)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        with store.engine.execution_options(purpose=Purpose.ALONE).begin():
            result = drain_tutors(instance, resources, outage_seconds=0)
        description = failure(result)
        assert "database is locked" in description
        assert "\n" not in description
        assert_no_personal_data(instance, result.run_id, capfd)
        assert metadata(drain_tutors(instance, resources))["stored"] == 3
    assert client.redis.xlen(client.keys.dead_letter) == 0


def assert_no_personal_data(
    instance: dg.DagsterInstance, run_id: str, capfd: pytest.CaptureFixture[str]
) -> None:
    events = "".join(entry.to_json() for entry in instance.all_logs(run_id))
    assert "STEP_START" in events
    out, err = capfd.readouterr()
    assert MARK not in events + out + err


def test_the_launchpad_bounds_a_drain(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher, count=7)
    values = metadata(drain_tutors(instance, resources, batch_size=2, max_messages=5))
    assert (values["stored"], values["lag_after"], values["pending_after"]) == (5, 2, 0)
    assert values["batches"] >= 3
    assert snapshot(client, TUTORS).waiting == 2


def test_a_drain_lingers_as_long_as_it_is_told_to_and_no_longer_than_its_bound(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    assert 0.3 <= metadata(drain_tutors(instance, resources, linger_seconds=0.3))["seconds"] < 5
    started = time.monotonic()
    bounded = metadata(drain_tutors(instance, resources, linger_seconds=3_600, max_seconds=0.3))
    assert 0.3 <= bounded["seconds"] < 5
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "config",
    [
        {"batch_size": 0},
        {"batch_size": 10_001},
        {"max_messages": 0},
        {"max_seconds": 0.0},
        {"linger_seconds": -1.0},
        {"batch_size": "many"},
        {"batchsize": 10},
    ],
    ids=str,
)
def test_a_limit_out_of_range_fails_the_run_before_anything_is_read(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    config: dict[str, object],
) -> None:
    publish_all(publisher, count=1)
    with pytest.raises((dg.DagsterError, ValidationError), match=next(iter(config))):
        dg.materialize(
            [drain_assets[0]],
            instance=instance,
            resources=resources,
            run_config={"ops": {"tutors": {"config": config}}},
        )
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending) == (1, 0)


def test_redis_away_fails_the_run_with_one_clear_line(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    away = {**resources, "queue": QueueResource(url="redis://:hunter2@127.0.0.1:1/0")}
    result = drain_tutors(instance, away, outage_seconds=0)
    description = failure(result)
    assert "Redis at 127.0.0.1:1/0 is not available" in description
    assert "\n" not in description
    assert "hunter2" not in description


def test_a_store_that_cannot_be_had_fails_the_run_and_leaves_the_queue_alone(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    publish_all(publisher)
    (tmp_path / "file").touch()
    nowhere = {**resources, "store": StoreResource(url=f"sqlite:///{tmp_path}/file/store.db")}
    description = failure(drain_tutors(instance, nowhere))
    assert "TUTORMAX_STORE_URL" in description
    assert "\n" not in description
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending, seen.dead) == (3, 0, 0)


def test_a_bad_variable_fails_the_run_with_its_name(
    resources: Resources, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_TIMEOUT_SECONDS", "soon")
    assert failure(drain_tutors(instance, resources)).startswith("TUTORMAX_STORE_TIMEOUT_SECONDS")

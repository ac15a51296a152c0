"""Materializing drains: in process, with resources of the test."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.assets import drain_assets
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS
MARK = "MARKED-NAME-OF-A-PERSON"

Resources = dict[str, object]


def publish_all(publisher: MessagePublisher, count: int = 3) -> None:
    for n in range(count):
        publisher.publish_tutor_data({"tutor_id": f"T{n}", "name": MARK, "demographics": {"age": MARK}})
        publisher.publish_session_data({"session_id": f"S{n}", "tutor_id": "T", "notes": MARK})
        publisher.publish_feedback({"feedback_id": f"F{n}", "tutor_id": "T", "rating": 4, "comment": MARK})


def test_a_materialization_tells_what_the_drain_did(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher)
    publisher.publish(TUTORS, {"tutor_id": "T9", "name": MARK, "rating": 6})
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk " + MARK.encode()})
    result = defs.resolve_job_def("drain_tutors").execute_in_process(instance=instance, resources=resources)
    (event,) = result.asset_materializations_for_node("tutors")
    values = {name: value.value for name, value in event.metadata.items()}
    assert values["dagster/row_count"] == 3
    assert (values["stored"], values["duplicate"], values["dead_lettered"]) == (3, 0, 2)
    assert (values["lag_before"], values["lag_after"], values["pending_after"]) == (5, 0, 0)
    assert values["messages_per_second"] > 0
    p50, p95, worst = (values[f"publish_to_stored_{one}_ms"] for one in ("p50", "p95", "max"))
    assert 0 < p50 <= p95 <= worst
    assert "| invalid | 1 |" in values["dead_letters_by_reason"]
    assert "| malformed | 1 |" in values["dead_letters_by_reason"]


def test_one_run_drains_every_channel_and_its_events_hold_no_personal_data(
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish_all(publisher)
    publisher.publish(TUTORS, {"tutor_id": "T9", "name": MARK, "rating": MARK, "active": MARK})
    result = defs.resolve_job_def("drain_all").execute_in_process(instance=instance, resources=resources)
    assert result.success
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        assert [store.row_count(channel) for channel in QueueChannels.all()] == [3, 3, 3]
    events = "".join(entry.to_json() for entry in instance.all_logs(result.run_id))
    out, err = capfd.readouterr()
    assert MARK not in events + out + err


def test_the_launchpad_bounds_a_drain(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher, count=7)
    config = {"ops": {"tutors": {"config": {"batch_size": 2, "max_messages": 5}}}}
    result = dg.materialize(
        [drain_assets[0]], instance=instance, resources=resources, run_config=config, raise_on_error=True
    )
    assert result.success
    assert snapshot(client, TUTORS).waiting == 2


def test_a_limit_out_of_range_fails_the_run_before_anything_is_read(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher)
    config = {"ops": {"tutors": {"config": {"batch_size": 0}}}}
    with pytest.raises(Exception, match="batch_size"):
        dg.materialize([drain_assets[0]], instance=instance, resources=resources, run_config=config)
    assert snapshot(client, TUTORS).waiting == 3


def test_redis_away_fails_the_run_with_one_clear_line(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    away = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    result = dg.materialize([drain_assets[0]], instance=instance, resources=away, raise_on_error=False)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    description = failure.step_failure_data.user_failure_data.description
    assert "Redis at 127.0.0.1:1/0 is not available" in description
    assert "\n" not in description

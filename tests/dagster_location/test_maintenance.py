"""The nightly maintenance: what it does, what it shows, and when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from tests.dagster_location.test_assets import Resources, drain_tutors, failure, publish_all
from tests.dagster_location.test_checks import check_by_hand, evaluation
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


def maintain(instance: dg.DagsterInstance, resources: Resources) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("maintain_queues")
    return job.execute_in_process(instance=instance, resources=resources, raise_on_error=False)


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    assert result.success
    (event,) = [one for one in result.all_events if one.is_successful_output]
    return event.step_output_data.metadata


def add_old(client: RedisClient) -> None:
    """Three entries of 1970, drained as messages that could not be read."""
    for n in range(1, 4):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": "junk"}, id=f"{n}-1")


def test_it_is_scheduled_every_night_and_on() -> None:
    schedule = defs.resolve_schedule_def("maintenance_schedule")
    assert (schedule.job_name, schedule.cron_schedule) == ("maintain_queues", "17 3 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    job = defs.resolve_job_def("maintain_queues")
    assert int(job.tags["dagster/max_runtime"]) > 0
    assert job.executor_def is dg.in_process_executor


def test_it_trims_prunes_and_shows_a_line_for_each_channel(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    add_old(client)
    publish_all(publisher)
    assert drain_tutors(instance, resources).success
    MessageConsumer(client, "auditor", group="audit").create_consumer_group(QueueChannels.SESSIONS)
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store, store.engine.begin() as connection:
        connection.execute(text("UPDATE message_ledger SET recorded_at = '2020-01-01 00:00:00.000000'"))
    shown = metadata(maintain(instance, resources))
    assert (shown["trimmed"].value, shown["stray_groups"].value) == (3, 1)
    assert shown["trimmed_for_memory"].value == 0
    lines = {record.data["channel"]: record.data for record in shown["channels"].records}
    assert list(lines) == [channel.name for channel in QueueChannels.all()]
    assert (lines["tutors"]["trimmed"], lines["tutors"]["ledger_rows_pruned"]) == (3, 3)
    assert lines["sessions"]["stray_groups"] == "audit"
    assert client.redis.xlen(client.keys.stream(TUTORS)) == 3
    found = evaluation(check_by_hand(instance, resources))
    assert (found.passed, found.metadata["pruned"].value, found.metadata["added"].value) == (True, 3, 6)


def test_a_retention_of_nothing_prunes_nothing(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_LEDGER_RETENTION_DAYS", "0")
    add_old(client)
    assert drain_tutors(instance, resources).success
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store, store.engine.begin() as connection:
        connection.execute(text("UPDATE message_ledger SET recorded_at = '2020-01-01 00:00:00.000000'"))
    assert metadata(maintain(instance, resources))["ledger_rows_pruned"].value == 0


def test_redis_away_fails_it_with_one_clear_line(resources: Resources, instance: dg.DagsterInstance) -> None:
    away = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    assert "Redis at 127.0.0.1:1/0 is not available" in failure(maintain(instance, away))

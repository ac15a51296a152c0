"""The job that traces a message: the story as a table, with links to its runs, and nothing personal."""

from __future__ import annotations

import dagster as dg

from queue_core import MessagePublisher, QueueChannels, RedisClient
from tests.dagster_location.test_assets import Resources, drain_tutors, failure
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource

TUTORS = QueueChannels.TUTORS


def publish(client: RedisClient, message_id: str, **data: object) -> None:
    record = {"tutor_id": "KEY", "name": "SECRET", **data}
    MessagePublisher(client).publish(TUTORS, record, message_id=message_id, metadata={"source": "SECRET"})


def run(instance: dg.DagsterInstance, resources: Resources, **config: object) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("trace_message").execute_in_process(
        instance=instance,
        resources=resources,
        run_config={"ops": {"trace": {"config": config}}},
        raise_on_error=False,
    )


def test_the_story_is_a_table_with_links_to_the_runs(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(client, "m-1")
    drained = drain_tutors(instance, resources)
    result = run(instance, resources, message_id="m-1")
    rows = result.output_for_node("trace")
    assert [row["what"] for row in rows][-2:] == ["Stored", "Is a row of tutors"]
    assert [row["run"] for row in rows if row["run"]] == [drained.run_id]
    (event,) = [one for one in result.all_events if one.is_successful_output]
    metadata = event.step_output_data.metadata
    assert metadata["standing"].value == "m-1: stored"
    assert [record.data for record in metadata["story"].records] == rows
    assert metadata["runs"].value == f"- [{drained.run_id}](/runs/{drained.run_id})"


def test_nothing_that_a_message_holds_is_in_what_dagster_keeps(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(client, "m-1")
    publish(client, "m-2", rating=9)
    drain_tutors(instance, resources)
    for message_id in ("m-1", "m-2"):
        result = run(instance, resources, message_id=message_id)
        assert result.success
        kept = repr(instance.all_logs(result.run_id)) + repr(result.output_for_node("trace"))
        assert "SECRET" not in kept
        assert "KEY" not in kept


def test_what_waits_has_no_run_yet(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(client, "m-1")
    result = run(instance, resources, message_id="m-1")
    (event,) = [one for one in result.all_events if one.is_successful_output]
    assert event.step_output_data.metadata["runs"].value == "No run has settled it yet."


def test_what_nobody_knows_fails_with_where_it_was_looked(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish(client, "m-1")
    publish(client, "m-2")
    words = failure(run(instance, resources, message_id="m-1", most_entries=1))
    assert words.startswith("Nobody knows m-1. Looked in the ledger")
    assert "most_entries looks further" in words


def test_redis_away_fails_it_with_one_clear_line(resources: Resources, instance: dg.DagsterInstance) -> None:
    away = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    assert "Redis at 127.0.0.1:1/0 is not available" in failure(run(instance, away, message_id="m-1"))

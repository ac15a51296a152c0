"""The other checks of each table: with every drain, by hand, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from queue_core import Channel, MessagePublisher, QueueChannels
from tests.dagster_location.test_assets import MARK, Resources, failure
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.assets import drain_assets
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.defs.table_checks import table_checks

TUTORS, SESSIONS, FEEDBACK = QueueChannels.all()
EACH = {"oldest_unprocessed_age", "dead_letters_under_limit", "usual_range"}


def run(
    instance: dg.DagsterInstance, resources: Resources, channel: Channel
) -> Mapping[str, dg.AssetCheckEvaluation]:
    job = defs.resolve_job_def(f"drain_{channel}")
    result = job.execute_in_process(instance=instance, resources=resources)
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert MARK not in "".join(entry.to_json() for entry in instance.all_logs(result.run_id))
    return found


def by_hand(
    instance: dg.DagsterInstance, resources: Resources, channel: Channel, *names: str
) -> dg.ExecuteInProcessResult:
    keys = [dg.AssetCheckKey(dg.AssetKey(channel.name), name) for name in names]
    return dg.materialize(
        [*drain_assets, *table_checks],
        selection=dg.AssetSelection.checks(*keys),
        instance=instance,
        resources=resources,
        raise_on_error=False,
    )


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_each_table_has_its_checks_and_each_says_what_to_do_when_it_fails(channel: Channel) -> None:
    graph = defs.resolve_asset_graph()
    keys = {key.name: key for key in graph.get_check_keys_for_assets({dg.AssetKey(channel.name)})}
    expected = EACH | {"books_balance"} | ({"known_session_and_tutor"} if channel == FEEDBACK else set())
    assert set(keys) == expected
    for name in expected:
        assert "When it fails" in (graph.get_check_spec(keys[name]).description or ""), name
        assert "{" not in (graph.get_check_spec(keys[name]).description or ""), name


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_a_drain_of_an_empty_queue_passes_all(
    resources: Resources, instance: dg.DagsterInstance, channel: Channel
) -> None:
    found = run(instance, resources, channel)
    assert set(found) >= EACH
    assert all(one.passed for one in found.values())


def test_doubtful_feedback_is_a_warning_that_names_ids_and_no_values(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publisher.publish_batch(
        FEEDBACK,
        [
            {
                "feedback_id": f"F{n}",
                "tutor_id": "T9",
                "rating": 5.0,
                "sentiment": "negative",
                "comment": MARK,
            }
            for n in range(25)
        ],
    )
    found = run(instance, resources, FEEDBACK)
    known, usual = found["known_session_and_tutor"], found["usual_range"]
    for one in (known, usual):
        assert (one.passed, one.severity) == (False, dg.AssetCheckSeverity.WARN)
    figures: dict[str, Any] = {name: value.value for name, value in known.metadata.items()}
    assert (figures["unknown_sessions"], figures["unknown_tutors"]) == (0, 25)
    assert len(set(figures["feedback_ids"]) & {f"F{n}" for n in range(25)}) == 20
    assert usual.metadata["unusual_rows"].value == 25
    (ids,) = usual.metadata["ids"].value.values()
    assert len(ids) == 20
    assert "25 rows of feedback: rating and sentiment contradict each other." in (usual.description or "")


def test_one_check_runs_by_hand_alone_and_without_draining(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x"})
    away = {**resources, "store": StoreResource(url="sqlite:////proc/nowhere/store.db")}
    result = by_hand(instance, away, TUTORS, "oldest_unprocessed_age")
    (found,) = result.get_asset_check_evaluations()
    assert (found.check_name, found.passed, found.metadata["waiting"].value) == (
        "oldest_unprocessed_age",
        True,
        1,
    )


def test_redis_or_the_store_away_fails_the_check_with_one_clear_line(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    no_redis = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    assert "Redis at 127.0.0.1:1/0 is not available" in failure(
        by_hand(instance, no_redis, TUTORS, "dead_letters_under_limit")
    )
    no_store = {**resources, "store": StoreResource(url="sqlite:////proc/nowhere/store.db")}
    assert "cannot be written" in failure(by_hand(instance, no_store, SESSIONS, "usual_range"))

"""Moving dead letters from the launchpad: what each run does, says, and leaves."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.outcomes import Reason
from tests.conftest import wait_until
from tests.dagster_location.test_assets import MARK, Resources, assert_no_personal_data, failure
from tests.queue.letters import bury, bury_waiting, waiting
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import ArchivedLetter, StoreArchive

TUTORS, FEEDBACK = QueueChannels.TUTORS, QueueChannels.FEEDBACK


def launch(
    instance: dg.DagsterInstance,
    resources: Resources,
    op: str,
    tags: Mapping[str, str] | None = None,
    **config: object,
) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def(f"{op}_dead_letters").execute_in_process(
        instance=instance,
        resources=resources,
        run_config={"ops": {op: {"config": config}}},
        tags=dict(tags or {}),
        raise_on_error=False,
    )


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """Letters by outcome, those that there are; the table in the metadata must say the same."""
    assert result.success
    (event,) = [one for one in result.all_events if one.is_successful_output]
    told = event.step_output_data.metadata
    rows = [record.data for record in told["result"].records]
    assert all(told[row["outcome"]].value == row["letters"] and row["meaning"] for row in rows)
    (name,) = result.job_def.nodes
    assert result.output_for_node(name.name) == rows
    return {row["outcome"]: row["letters"] for row in rows if row["letters"]}


def log(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[tuple[str, str]]:
    return [
        ("WARNING" if one.level == 30 else "INFO", one.user_message)
        for one in instance.all_logs(result.run_id)
        if not one.is_dagster_event
    ]


def archive(tmp_path: Path) -> list[ArchivedLetter]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        return StoreArchive(store).letters()


@pytest.mark.parametrize("op", ["redrive", "discard"])
def test_as_it_stands_a_run_changes_nothing_and_says_so_loudly(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, tmp_path: Path, op: str
) -> None:
    bury(client, 3)
    result = launch(instance, resources, op)
    done = "redriven" if op == "redrive" else "discarded"
    assert outcomes(result) == {done: 3, "left": 3}
    assert DeadLetters(client).count() == 3
    assert archive(tmp_path) == []
    ((level, line),) = log(instance, result)
    assert level == "WARNING"
    assert line.startswith("DRY RUN, NOTHING WAS CHANGED.")
    assert f"3 {done}" in line
    assert "dry_run: false" in line


def test_a_redrive_puts_letters_back_and_says_how_many(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 3)
    result = launch(instance, resources, "redrive", dry_run=False)
    assert outcomes(result) == {"redriven": 3}
    assert len(waiting(client)) == 3
    assert log(instance, result) == [("INFO", "3 redriven. Dead letters that match now: 0.")]


def test_a_redrive_says_of_each_letter_that_stays_why(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, monkeypatch: Any
) -> None:
    monkeypatch.setenv("REDIS_QUEUE_MAXLEN", "2")
    bury(client, fields={b"message": b"{}", b"redrives": b"5"})
    bury(client, fields={b"no": b"message"})
    bury(client, 4)
    result = launch(instance, resources, "redrive", dry_run=False)
    assert outcomes(result) == {"redriven": 2, "capped": 1, "unredrivable": 1, "full": 2, "left": 4}
    (full,) = [row for row in result.output_for_node("redrive") if row["outcome"] == "full"]
    assert "launch drain_tutors" in full["meaning"]


@pytest.mark.parametrize(
    ("config", "redriven"),
    [
        ({"channel": "feedback"}, 1),
        ({"reason": "invalid"}, 1),
        ({"fault": "rating: at most 7"}, 1),
        ({"error": "DATABASE"}, 2),
        ({"message_id": "m-1"}, 1),
        ({"newer_than_seconds": 600}, 4),
        ({"older_than_seconds": 600}, 0),
        ({"limit": 3}, 3),
        ({"max_redrives": 1}, 4),
        ({"channel": "tutors", "reason": "rejected"}, 2),
        ({}, 4),
    ],
)
def test_a_choice_means_the_letters_that_fit_it(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    config: dict[str, object],
    redriven: int,
) -> None:
    bury(client, 2)
    bury(client, channel=FEEDBACK, reason=Reason.EXPIRED, errors=("message: late",))
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"}, message_id="m-1")
    bury_waiting(client, TUTORS, Reason.INVALID, ("rating: at most 5",))
    assert outcomes(launch(instance, resources, "redrive", **config)).get("redriven", 0) == redriven


def test_ids_mean_these_letters(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    first, _, third = bury(client, 3)
    launch(instance, resources, "redrive", ids=[first, third, "1-1"], dry_run=False)
    assert DeadLetters(client).count() == 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"channel": "nowhere"}, "There is no channel 'nowhere'; the channels are tutors"),
        ({"channel": ""}, "There is no channel ''; the channels are tutors"),
        ({"reason": "bad"}, "There is no reason 'bad'; the reasons are malformed"),
        ({"ids": ["x"]}, "'x' is not the id of a dead letter"),
        ({"merge_patch": "{"}, "merge_patch: not JSON"),
        ({"merge_patch": "[]"}, "merge_patch: must be an object"),
        ({"merge_patch": 5}, "merge_patch: must be an object"),
        ({"merge_patch": {"rating": 2**60}}, "merge_patch: $.rating: integer beyond"),
        ({"merge_patch": {"name": "x", "rating": 5}}, "name holds personal data"),
        ({"merge_patch": {"feedback_id": "X", "rating": 5}}, "feedback_id says whose record it is"),
        ({"merge_patch": {"tutor_id": None}}, "tutor_id says whose record it is"),
        ({"merge_patch": {"rating": 5}, "dry_run": False}, "who and why must be said"),
        ({"merge_patch": {"rating": 5}, "dry_run": False, "who": "eve"}, "why must be said"),
    ],
)
def test_a_config_that_cannot_be_meant_fails_in_one_line_and_moves_nothing(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    config: dict[str, object],
    words: str,
) -> None:
    bury(client)
    assert words in failure(launch(instance, resources, "redrive", **config))
    assert DeadLetters(client).count() == 1


@pytest.mark.parametrize("patch", [{"rating": 4.5, "subject": None}, '{"rating": 4.5, "subject": null}'])
def test_a_merge_patch_mends_each_letter_on_its_way_and_archives_the_original(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    patch: object,
) -> None:
    bury(client, 2)
    config: dict[str, Any] = {"merge_patch": patch, "who": "eve", "why": "slips"}
    dry = launch(instance, resources, "redrive", **config)
    assert outcomes(dry) == {"mended": 2, "left": 2}
    assert DeadLetters(client).count() == 2
    assert outcomes(launch(instance, resources, "redrive", dry_run=False, **config)) == {"mended": 2}
    assert all(b'"rating":4.5' in fields[b"message"] for fields in waiting(client))
    assert [(one.signature.who, one.signature.why) for one in archive(tmp_path)] == [("eve", "slips")] * 2


def test_what_would_still_fail_when_mended_stays_and_is_told_without_its_values(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    bury(client, 1, name=MARK)
    (junk,) = bury(client, fields={b"message": b"junk " + MARK.encode()})
    bury(client, fields={b"no": b"message"})
    result = launch(
        instance, resources, "redrive", merge_patch={"rating": 3}, who="e", why="w", dry_run=False
    )
    assert outcomes(result) == {"mended": 1, "refused": 1, "unredrivable": 1, "left": 2}
    (event,) = [one for one in result.all_events if one.is_successful_output]
    refusals = event.step_output_data.metadata["refusals"].data
    assert "cannot be edited" in refusals[junk]
    again = launch(instance, resources, "redrive", merge_patch={"rating": 9}, ids=[junk], limit=1)
    assert outcomes(again) == {"refused": 1, "left": 1}
    assert_no_personal_data(instance, result.run_id, capfd)


def test_mending_heeds_limit_pace_cap_and_room(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config: dict[str, Any] = {"merge_patch": {}, "who": "e", "why": "w", "dry_run": False}
    bury(client, 5)
    limited = launch(instance, resources, "redrive", limit=2, per_second=1_000, **config)
    assert outcomes(limited) == {"mended": 2, "left": 3}
    monkeypatch.setenv("REDIS_QUEUE_MAXLEN", "3")
    assert outcomes(launch(instance, resources, "redrive", **config)) == {"mended": 1, "full": 2, "left": 2}
    bury(client, fields={b"message": b"{}", b"redrives": b"2"}, channel=FEEDBACK)
    capped = launch(instance, resources, "redrive", channel="feedback", max_redrives=2, **config)
    assert outcomes(capped) == {"capped": 1, "left": 1}


def test_a_discard_archives_with_who_and_why_and_removes(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    bury(client, 2)
    bury(client, channel=FEEDBACK, errors=("message: late",))
    result = launch(
        instance, resources, "discard", {"user": "eve"}, channel="tutors", why="junk", dry_run=False
    )
    assert outcomes(result) == {"discarded": 2}
    assert [(one.signature.who, one.signature.why) for one in archive(tmp_path)] == [("eve", "junk")] * 2
    assert DeadLetters(client).count() == 1
    launch(instance, resources, "discard", {"user": "eve"}, who="mallory", why="junk", dry_run=False)
    assert archive(tmp_path)[0].signature.who == "mallory"


@pytest.mark.parametrize("config", [{}, {"who": "eve"}, {"who": "eve", "why": " "}, {"why": "junk"}])
def test_a_discard_that_does_not_say_who_and_why_does_nothing(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, config: dict[str, str]
) -> None:
    bury(client)
    assert "must be said" in failure(launch(instance, resources, "discard", dry_run=False, **config))
    assert DeadLetters(client).count() == 1


@pytest.mark.parametrize("op", ["redrive", "discard"])
def test_redis_away_fails_it_in_one_line(resources: Resources, instance: dg.DagsterInstance, op: str) -> None:
    away = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    assert "Redis at 127.0.0.1:1/0 is not available" in failure(launch(instance, away, op))


@pytest.mark.parametrize("op", ["redrive", "discard"])
def test_the_launchpad_explains_each_field_and_needs_none(op: str) -> None:
    job = defs.resolve_job_def(f"{op}_dead_letters")
    fields = job.get_node_named(op).definition.config_schema.config_type.fields
    assert all(field.description for field in fields.values())
    assert not any(field.is_required for field in fields.values())
    assert fields["dry_run"].default_value is True
    assert int(job.tags["dagster/max_runtime"]) > 0
    assert job.executor_def is dg.in_process_executor


def test_an_error_says_how_many_were_moved_before_it_and_those_stay_moved(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_TIMEOUT_SECONDS", "0.05")
    count = 100
    bury(client, count)
    Store.open(f"sqlite:///{tmp_path}/store.db").close()
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)

    def lock_once_it_moves() -> None:
        wait_until(lambda: DeadLetters(client).count() < count)
        holder.execute("BEGIN IMMEDIATE")

    thread = threading.Thread(target=lock_once_it_moves)
    thread.start()
    config = {"merge_patch": {}, "who": "e", "why": "w", "per_second": 50, "dry_run": False}
    words = failure(launch(instance, resources, "redrive", **config))
    thread.join()
    holder.close()
    moved = count - DeadLetters(client).count()
    assert 0 < moved < count
    assert "locked" in words
    assert f"Before that, {moved} were moved; the same launch goes on." in words


@pytest.fixture
def harmless() -> Iterator[None]:
    """A signal that comes when no op runs does not end the tests."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("patch", [None, {}], ids=["redrive", "mend"])
def test_a_run_that_is_terminated_loses_nothing_and_the_next_goes_on(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    harmless: None,
    patch: object,
) -> None:
    count = 60
    bury(client, count)
    config = {"dry_run": False, "per_second": 20, "merge_patch": patch, "who": "e", "why": "w"}

    def terminate_once_it_moves() -> None:
        wait_until(lambda: DeadLetters(client).count() < count)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate_once_it_moves)
    thread.start()
    stopped = launch(instance, resources, "redrive", **config)
    thread.join()
    (event,) = [event for event in stopped.all_events if event.is_step_failure]
    assert event.step_failure_data.error is not None
    assert "Stopped as asked" in event.step_failure_data.error.message
    left = DeadLetters(client).count()
    assert 0 < left < count
    assert client.redis.xlen(client.keys.stream(TUTORS)) == 2 * count - left
    after = launch(instance, resources, "redrive", dry_run=False)
    assert outcomes(after) == {"redriven": left}
    assert len(waiting(client)) == count

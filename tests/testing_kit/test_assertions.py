"""What the kit asserts, and what it says where that does not hold."""

from __future__ import annotations

import re

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, ReceivedMessage, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.outcomes import Reason
from queue_core.testing import (
    assert_dead_lettered,
    assert_idle,
    assert_nothing_pending,
    assert_published,
    run_until_idle,
)
from queue_core.testing.namespace import own_namespace, remove_keys
from tests.conftest import settings_for
from tests.queue.letters import bury
from tests.testing_kit.working import worker_of

TUTORS = QueueChannels.TUTORS


def words_of(caught: pytest.ExceptionInfo[AssertionError]) -> str:
    return str(caught.value)


@pytest.fixture
def _two_tutors(publisher: MessagePublisher) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "Ann", "metrics": {"a": 1, "b": 2}}, message_id="m1")
    publisher.publish(TUTORS, {"tutor_id": "T2", "name": "Bob", "active": True}, message_id="m2")


@pytest.mark.usefixtures("_two_tutors")
def test_published_messages_are_found_by_part_of_their_data(client: RedisClient) -> None:
    (ann,) = assert_published(client, "tutors", {"name": "Ann"})
    assert ann.id == "m1"
    assert_published(client, TUTORS, {"metrics": {"b": 2}}, count=1)
    assert_published(client, TUTORS, count=2)
    assert_published(client, TUTORS, message_id="m2", where=lambda message: message.data["active"] is True)
    assert_published(client, TUTORS, {"name": "Eve"}, count=0)
    assert_published(client, "sessions", count=0)


@pytest.mark.usefixtures("_two_tutors")
def test_what_was_published_is_still_found_when_it_is_processed(client: RedisClient) -> None:
    run_until_idle(worker_of(client, TUTORS, lambda _: True), client)
    assert_published(client, TUTORS, count=2)


@pytest.mark.usefixtures("_two_tutors")
def test_a_message_that_is_missing_is_told_with_those_that_are_there(client: RedisClient) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    with pytest.raises(AssertionError) as caught:
        assert_published(client, TUTORS, {"name": "Eve", "metrics": {"a": True}})
    words = words_of(caught)
    assert "Expected at least 1 message in tutors having data with" in words
    assert "0 of 3 match" in words
    assert re.search(r"m1 .*data.name is 'Ann'; data.metrics.a is 1\n", words)
    assert re.search(r"m2 .*data.name is 'Bob'; data.metrics is missing\n", words)
    assert "cannot be read: malformed" in words


@pytest.mark.usefixtures("_two_tutors")
def test_too_many_messages_are_told_too(client: RedisClient) -> None:
    with pytest.raises(AssertionError, match="Expected no messages in tutors; 2 of 2 match"):
        assert_published(client, TUTORS, count=0)
    with pytest.raises(AssertionError, match="what 'where' asks for; 0 of 2 match"):
        assert_published(client, TUTORS, where=lambda _: False)
    with pytest.raises(AssertionError, match="nothing is there"):
        assert_published(client, "feedback")


def test_a_long_failure_is_cut(client: RedisClient, publisher: MessagePublisher) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x" * 5_000} for n in range(30)])
    with pytest.raises(AssertionError, match=r"\.\.\. and 20 more") as caught:
        assert_published(client, TUTORS, count=1)
    assert len(words_of(caught)) < 5_000


def test_dead_letters_are_found_by_reason_error_and_message(client: RedisClient) -> None:
    bury(client, 2, reason=Reason.REJECTED)
    bury(client, fields={b"message": b"junk"}, reason=Reason.MALFORMED, errors=("envelope: not JSON",))
    assert_dead_lettered(client, "tutors", count=3)
    first, _ = assert_dead_lettered(client, TUTORS, reason="rejected", error="DATABASE")
    assert assert_dead_lettered(client, TUTORS, message_id=first.message_id, count=1) == [first]
    assert_dead_lettered(client, "sessions", count=0)
    with pytest.raises(AssertionError) as caught:
        assert_dead_lettered(client, TUTORS, reason="expired")
    assert "Expected at least 1 dead letter of tutors with reason expired; 0 of 3 match" in words_of(caught)
    assert "malformed, message ?: envelope: not JSON" in words_of(caught)


def test_nothing_pending_and_idle_are_two_things(client: RedisClient, publisher: MessagePublisher) -> None:
    assert_idle(client)
    publisher.publish_tutor_data({"tutor_id": "T1", "name": "x"})
    assert_nothing_pending(client)
    assert_idle(client, "sessions", "feedback")
    with pytest.raises(AssertionError, match="tutors: 1 waiting, 0 pending"):
        assert_idle(client)
    (entry,) = MessageConsumer(client, "holds-it").read(TUTORS, 1)
    with pytest.raises(AssertionError, match=f"{entry.id} on holds-it, delivered 1 times"):
        assert_nothing_pending(client, TUTORS)


def test_a_worker_runs_until_its_retries_have_come_due_and_are_done(valkey: EmbeddedServer) -> None:
    with RedisClient(settings_for(valkey, retry_backoff_ms=60)) as client:
        MessagePublisher(client).publish_batch(
            TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(25)]
        )
        tries: dict[str, int] = {}

        def on_the_second_try(_: object, message: ReceivedMessage) -> bool:
            tries[message.id] = tries.get(message.id, 0) + 1
            return tries[message.id] > 1 or len(tries) % 5 > 0

        assert run_until_idle(worker_of(client, TUTORS, on_the_second_try), client, timeout_seconds=30) == 25
        assert sum(tries.values()) == 30
        assert_idle(client)
        remove_keys(client)


def test_a_worker_that_does_not_get_idle_ends_in_time_and_says_what_is_left(valkey: EmbeddedServer) -> None:
    with RedisClient(settings_for(valkey, retry_backoff_ms=60_000)) as client:
        MessagePublisher(client).publish_tutor_data({"tutor_id": "T1", "name": "x"})
        seconds, slept = iter(range(1_000)), []
        with pytest.raises(AssertionError) as caught:
            run_until_idle(
                worker_of(client, TUTORS, lambda _: False),
                client,
                timeout_seconds=5,
                clock=lambda: next(seconds),
                sleep=slept.append,
            )
        assert "not idle after 5 s and 0 processed" in words_of(caught)
        assert "1 scheduled for a retry, the next in" in words_of(caught)
        # It sleeps towards the retry, never past its own end.
        assert slept == [4, 3, 2, 1]
        remove_keys(client)


def test_a_worker_that_never_finds_an_end_is_ended(client: RedisClient) -> None:
    class Restless:
        def run_once(self) -> int:
            return 1

    with pytest.raises(AssertionError, match="run_once goes on processing"):
        run_until_idle(Restless(), client, timeout_seconds=0.05)


def test_a_namespace_is_removed_even_when_the_test_fails_and_its_neighbours_stay(
    client: RedisClient, valkey: EmbeddedServer, publisher: MessagePublisher
) -> None:
    publisher.publish_tutor_data({"tutor_id": "T1", "name": "x"})
    url = settings_for(valkey).url
    with pytest.raises(ZeroDivisionError), own_namespace(url) as own:  # noqa: PT012
        bury(own, 3)
        own.redis.set(f"{own.settings.key_prefix}x", "a longer prefix is another namespace")
        raise ZeroDivisionError
    prefix = own.settings.key_prefix
    assert client.redis.keys(f"{prefix}*") == [f"{prefix}x".encode()]
    client.redis.delete(f"{prefix}x")
    assert_published(client, TUTORS, count=1)

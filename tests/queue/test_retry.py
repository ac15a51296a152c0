"""Trying again later: due times, attempts, the last attempt. On each kind of server."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import RELEASED_CONSUMER
from queue_core.entry import Entry
from queue_core.monitor import snapshot
from tests.conftest import wait_until
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS


@pytest.fixture
def failed(publisher: MessagePublisher, consumer: MessageConsumer) -> str:
    """Id of an entry that the consumer has read."""
    publisher.publish(TUTORS, tutor(1))
    return consumer.read(TUTORS, 1)[0].id


def attempts(client: RedisClient, entry_id: str) -> list[dict[str, str]]:
    return orjson.loads(client.redis.hget(client.keys.processing(TUTORS), entry_id) or b"[]")


def taken_when_due(consumer: MessageConsumer) -> Entry:
    """The entry, begun, as soon as its retry is due."""
    (taken,) = wait_until(lambda: consumer.claim(TUTORS, 10).left)
    (begun,) = consumer.begin(TUTORS, [taken])
    return begun


def test_a_retry_stays_pending_and_is_nobodys_until_it_is_due(
    client: RedisClient, consumer: MessageConsumer, other: MessageConsumer, like: Like, failed: str
) -> None:
    slow = MessageConsumer(like(retry_backoff_ms=60_000), "one")
    delay_seconds = slow.retry(TUTORS, failed, "ValueError")
    assert 45 <= delay_seconds <= 75
    (pending,) = consumer.get_pending_messages(TUTORS)
    assert (pending.entry_id, pending.consumer, pending.deliveries) == (failed, RELEASED_CONSUMER, 1)
    assert other.claim(TUTORS, 10, min_idle_ms=0).left == []
    seen = snapshot(client, TUTORS)
    assert (seen.scheduled, seen.pending, seen.waiting) == (1, 1, 0)
    assert abs(seen.next_retry_in_seconds - delay_seconds) < 5


def test_a_due_retry_is_taken_with_its_failures_and_counts_when_it_is_begun(
    client: RedisClient, other: MessageConsumer, like: Like, failed: str
) -> None:
    MessageConsumer(like(retry_backoff_ms=1), "one").retry(TUTORS, failed, "ValueError")
    begun = taken_when_due(other)
    assert (begun.id, begun.deliveries, begun.failures) == (failed, 2, 1)
    (attempt,) = attempts(client, failed)
    assert (attempt["consumer"], attempt["error"]) == ("one", "ValueError")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(attempt["at"])).total_seconds()) < 60
    assert snapshot(client, TUTORS).scheduled == 0


def test_the_delay_doubles_with_each_attempt_and_has_a_longest(like: Like, failed: str) -> None:
    consumer = MessageConsumer(like(retry_backoff_ms=16, max_retries=20), "one")
    delays = []
    for _ in range(3):
        delays.append(consumer.retry(TUTORS, failed, "x"))
        taken_when_due(consumer)
    for n, delay_seconds in enumerate(delays):
        assert 0.75 * 0.016 * 2**n - 0.001 <= delay_seconds <= 1.25 * 0.016 * 2**n
    patient = MessageConsumer(like(retry_backoff_ms=50_000, max_retries=20), "one")
    assert 45 <= patient.retry(TUTORS, failed, "x") <= 75


def test_when_its_retries_are_used_up_it_is_a_dead_letter_with_every_attempt_and_its_bytes(
    client: RedisClient, like: Like, failed: str
) -> None:
    consumer = MessageConsumer(like(retry_backoff_ms=1, max_retries=2), "one")
    body = client.redis.xrange(client.keys.stream(TUTORS))[0][1][b"message"]
    for error in ("first", "second"):
        assert consumer.retry(TUTORS, failed, error) is not None
        taken_when_due(consumer)
    assert consumer.retry(TUTORS, failed, "third") is None
    ((_, letter),) = client.redis.xrange(client.keys.dead_letter)
    assert (letter[b"reason"], letter[b"message"]) == (b"retries_exhausted", body)
    assert (letter[b"deliveries"], orjson.loads(letter[b"errors"])) == (b"3", ["last attempt: third"])
    assert letter[b"message_id"].decode() == orjson.loads(body)["id"]
    seen = snapshot(client, TUTORS)
    assert (seen.pending, seen.scheduled, seen.dead) == (0, 0, 1)
    assert client.redis.hlen(client.keys.processing(TUTORS)) == 0


def test_with_no_retries_the_first_failure_is_the_last(client: RedisClient, like: Like, failed: str) -> None:
    assert MessageConsumer(like(max_retries=0), "one").retry(TUTORS, failed, "x") is None
    assert snapshot(client, TUTORS).dead == 1


def test_who_no_longer_holds_an_entry_schedules_nothing(
    client: RedisClient, consumer: MessageConsumer, other: MessageConsumer, failed: str
) -> None:
    (taken,) = other.claim(TUTORS, 1, min_idle_ms=0).left
    assert consumer.retry(TUTORS, failed, "x") is None
    other.acknowledge(TUTORS, taken.id)
    assert other.retry(TUTORS, failed, "x") is None
    assert (attempts(client, failed), snapshot(client, TUTORS).scheduled) == ([], 0)


def test_an_entry_that_succeeds_after_all_leaves_no_attempts_behind(
    client: RedisClient, like: Like, failed: str
) -> None:
    consumer = MessageConsumer(like(retry_backoff_ms=1), "one")
    consumer.retry(TUTORS, failed, "x")
    begun = taken_when_due(consumer)
    consumer.acknowledge(TUTORS, begun.id)
    assert client.redis.exists(client.keys.processing(TUTORS), client.keys.retry(TUTORS)) == 0


def test_a_retry_that_a_late_consumer_settled_is_forgotten(
    client: RedisClient, consumer: MessageConsumer, other: MessageConsumer, like: Like, failed: str
) -> None:
    MessageConsumer(like(retry_backoff_ms=1), "one").retry(TUTORS, failed, "x")
    consumer.acknowledge(TUTORS, failed)
    assert wait_until(lambda: other.claim(TUTORS, 1).left == [] and not snapshot(client, TUTORS).scheduled)
    assert client.redis.exists(client.keys.processing(TUTORS)) == 0


def test_a_retry_whose_entry_was_deleted_is_reported_as_lost(
    client: RedisClient, other: MessageConsumer, like: Like, failed: str
) -> None:
    MessageConsumer(like(retry_backoff_ms=1), "one").retry(TUTORS, failed, "x")
    client.redis.xdel(client.keys.stream(TUTORS), failed)
    assert wait_until(lambda: other.claim(TUTORS, 1, min_idle_ms=60_000).lost) == [failed]


def test_what_waits_for_its_retry_does_not_keep_others_from_being_taken_over(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer, like: Like
) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(25)])
    slow = MessageConsumer(like(retry_backoff_ms=60_000), "one")
    *scheduled, left = [entry.id for entry in slow.read(TUTORS, 25)]
    for entry_id in scheduled:
        slow.retry(TUTORS, entry_id, "x")
    assert [entry.id for entry in other.claim(TUTORS, 2, min_idle_ms=0).left] == [left]


def test_a_retry_that_is_scheduled_for_long_is_nobodys_to_take_over(
    client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    hasty = like(retry_backoff_ms=60_000, worker_max_processing_time_seconds=0.01)
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(2)])
    consumer = MessageConsumer(hasty, "one")
    first, second = consumer.read(TUTORS, 2)
    consumer.retry(TUTORS, first.id, "x")
    wait_until(lambda: min(one.idle_ms for one in consumer.get_pending_messages(TUTORS)) > 10)
    assert snapshot(hasty, TUTORS).claimable
    consumer.acknowledge(TUTORS, second.id)
    assert not snapshot(hasty, TUTORS).claimable

"""Taking over what another left, giving back what was not begun, and leaving. On each kind of server."""

from __future__ import annotations

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import RELEASED_CONSUMER
from queue_core.errors import ConfigurationError
from tests.conftest import wait_until
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(count)])


def read_ids(consumer: MessageConsumer, count: int) -> list[str]:
    return [entry.id for entry in consumer.read(TUTORS, count)]


def owners(consumer: MessageConsumer) -> dict[str, tuple[str, int]]:
    """Entry id -> who holds it, and how often it was delivered."""
    return {one.entry_id: (one.consumer, one.deliveries) for one in consumer.get_pending_messages(TUTORS)}


def consumers(client: RedisClient) -> set[bytes]:
    stream = client.keys.stream(TUTORS)
    return {one["name"] for one in client.redis.xinfo_consumers(stream, "tutormax-workers")}


def test_messages_that_were_left_are_taken_over_oldest_first_and_the_delivery_is_counted(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 3)
    read = consumer.consume(TUTORS, 3)
    assert other.claim_pending_messages(TUTORS, min_idle_time_ms=60_000) == []
    claimed = other.claim_pending_messages(TUTORS, min_idle_time_ms=0, count=2)
    assert claimed == [{**one, "_deliveries": 2} for one in read[:2]]
    again = consumer.claim_pending_messages("tutormax:tutors", min_idle_time_ms=0)
    assert [one["_deliveries"] for one in again] == [3, 3, 2]
    assert list(owners(other).values()) == [("one", 3), ("one", 3), ("one", 2)]
    assert (other.statistics.claimed, consumer.statistics.claimed) == (2, 3)


def test_only_what_is_idle_for_long_enough_is_taken_over(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    (old,) = read_ids(consumer, 1)
    wait_until(lambda: consumer.get_pending_messages(TUTORS)[0].idle_ms >= 100)
    (new,) = read_ids(consumer, 1)
    claimed = other.claim(TUTORS, 10, min_idle_ms=100)
    assert [entry.id for entry in claimed.left][:1] == [old]
    assert owners(other)[old] == ("other", 1)
    assert new in owners(other)


def test_where_no_time_is_given_the_longest_processing_time_is_meant(
    publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 1)
    (entry_id,) = read_ids(consumer, 1)
    patient = MessageConsumer(like(worker_max_processing_time_seconds=3_600), "patient")
    hasty = MessageConsumer(like(worker_max_processing_time_seconds=0.01), "hasty")
    wait_until(lambda: consumer.get_pending_messages(TUTORS)[0].idle_ms >= 10)
    assert patient.claim_pending_messages(TUTORS) == []
    assert [one["_redis_id"] for one in hasty.claim_pending_messages(TUTORS)] == [entry_id]


def test_what_is_taken_over_has_the_bytes_that_were_received(
    client: RedisClient, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    fields = {b"message": b"\xff\x00", b"other": b"\r\n", b"": b""}
    client.redis.xadd(client.keys.stream(TUTORS), fields)
    (first,) = consumer.read(TUTORS, 1)
    (second,) = other.begin(TUTORS, other.claim(TUTORS, 1, min_idle_ms=0).left)
    assert first.fields == second.fields == fields
    assert (first.deliveries, second.deliveries) == (1, 2)


def test_what_is_taken_over_and_cannot_be_read_goes_to_the_dead_letters(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), {"message": "junk"})
    publish(publisher, 1)
    _, good = read_ids(consumer, 2)
    assert [one["_redis_id"] for one in other.claim_pending_messages(TUTORS, 0)] == [good]
    ((_, letter),) = client.redis.xrange(client.keys.dead_letter)
    assert (letter[b"consumer"], letter[b"deliveries"]) == (b"other", b"2")


def test_pending_entries_deleted_from_outside_are_reported_as_lost_once(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 4)
    ids = read_ids(consumer, 4)
    client.redis.xdel(client.keys.stream(TUTORS), ids[0])
    client.redis.xtrim(client.keys.stream(TUTORS), minid=ids[2], approximate=False)
    claimed = other.claim(TUTORS, 10, min_idle_ms=0)
    assert claimed.lost == ids[:2]
    assert [entry.id for entry in claimed.left] == ids[2:]
    assert other.statistics.lost == 2
    assert list(owners(other)) == ids
    other.acknowledge(TUTORS, *claimed.lost)
    assert other.claim(TUTORS, 10, min_idle_ms=0).lost == []


def test_what_is_given_back_is_there_at_once_and_was_not_counted(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 3)
    kept, *given = read_ids(consumer, 3)
    assert consumer.release(TUTORS, given) == 2
    assert owners(consumer) == {kept: ("one", 1), **dict.fromkeys(given, (RELEASED_CONSUMER, 0))}
    claimed = other.claim(TUTORS, 10)
    assert [(entry.id, entry.deliveries) for entry in claimed.new] == [(one, 1) for one in given]
    assert [owners(consumer)[one] for one in given] == [("other", 1)] * 2


def test_giving_back_takes_back_one_delivery_and_no_more(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 1)
    (entry_id,) = read_ids(consumer, 1)
    other.begin(TUTORS, other.claim(TUTORS, 1, min_idle_ms=0).left)
    assert other.release(TUTORS, [entry_id]) == 1
    (entry,) = consumer.claim(TUTORS, 1).left
    assert entry.deliveries == 1


def test_nobody_gives_back_what_another_holds(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    ids = read_ids(consumer, 2)
    other.claim(TUTORS, 1, min_idle_ms=0)
    assert consumer.release(TUTORS, ids) == 1
    assert owners(other) == {ids[0]: ("other", 1), ids[1]: (RELEASED_CONSUMER, 0)}
    assert other.release(TUTORS, [ids[1]]) == 0


@pytest.mark.parametrize("entry_ids", [[], ["1-1"]])
def test_giving_back_nothing_or_what_is_not_there_changes_nothing(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, entry_ids: list[str]
) -> None:
    publish(publisher, 1)
    (settled,) = read_ids(consumer, 1)
    consumer.acknowledge(TUTORS, settled)
    assert consumer.release(TUTORS, [*entry_ids, settled] if entry_ids else []) == 0
    assert consumers(client) == {b"one"}


def test_what_was_deleted_cannot_be_given_back_and_is_still_found_lost(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 1)
    (entry_id,) = read_ids(consumer, 1)
    client.redis.xdel(client.keys.stream(TUTORS), entry_id)
    consumer.release(TUTORS, [entry_id])
    assert other.claim(TUTORS, 10, min_idle_ms=0).lost == [entry_id]


def test_a_consumer_leaves_only_with_empty_hands(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    (mine,), (theirs,) = read_ids(consumer, 1), read_ids(other, 1)
    assert consumer.leave(TUTORS) is False
    assert owners(consumer) == {mine: ("one", 1), theirs: ("other", 1)}
    consumer.acknowledge(TUTORS, mine)
    assert consumer.leave(TUTORS) is True
    assert consumers(client) == {b"other"}
    assert owners(other) == {theirs: ("other", 1)}


def test_a_consumer_that_gave_back_what_it_held_may_leave(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 1)
    ids = read_ids(consumer, 1)
    consumer.release(TUTORS, ids)
    assert consumer.leave(TUTORS) is True
    assert consumers(client) == {RELEASED_CONSUMER.encode()}
    assert [entry.id for entry in other.claim(TUTORS, 1).new] == ids


def test_one_who_never_read_may_leave_and_leave_again(client: RedisClient, consumer: MessageConsumer) -> None:
    assert consumer.leave(TUTORS) is True
    consumer.consume(TUTORS)
    assert consumer.leave(TUTORS) is True
    assert consumer.leave(TUTORS) is True
    assert consumers(client) == set()


def test_what_was_begun_and_left_is_taken_over_after_everything_else(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 5)
    entries = consumer.read(TUTORS, 5)
    consumer.begin(TUTORS, entries[:2])
    ids = [entry.id for entry in entries]
    assert [entry.id for entry in other.claim(TUTORS, 2, min_idle_ms=0).left] == ids[2:4]
    assert [entry.id for entry in other.claim(TUTORS, 9, min_idle_ms=0).left] == [*ids[2:], *ids[:2]]


def test_another_group_reads_and_acknowledges_and_leaves_the_default_ones_retries_alone(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    auditor = MessageConsumer(client, "auditor", group="audit")
    publisher.publish(TUTORS, tutor(1))
    ((mine,), (theirs,)) = consumer.read(TUTORS, 1), auditor.read(TUTORS, 1)
    consumer.retry(TUTORS, mine.id, "it failed")
    for forbidden in (
        lambda: auditor.claim_pending_messages(TUTORS, 0),
        lambda: auditor.retry(TUTORS, theirs.id, "it failed"),
        lambda: auditor.finish(TUTORS, [theirs.id]),
        lambda: auditor.release(TUTORS, [theirs.id]),
    ):
        with pytest.raises(ConfigurationError, match="'audit' can only read and acknowledge"):
            forbidden()
    assert auditor.acknowledge(TUTORS, theirs.id) == 1
    assert client.redis.zcard(client.keys.retry(TUTORS)) == 1
    assert client.redis.hlen(client.keys.processing(TUTORS)) == 1

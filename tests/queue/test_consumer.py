"""Reading as a member of the group, on each kind of server."""

from __future__ import annotations

import threading
import time

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import RELEASED_CONSUMER

TUTORS = QueueChannels.TUTORS


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(count)])


def test_a_group_is_made_once_and_reads_from_the_beginning(
    publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    assert consumer.create_consumer_group(TUTORS) is True
    assert consumer.create_consumer_group(TUTORS) is False
    assert [one["data"]["tutor_id"] for one in consumer.consume(TUTORS, 10)] == ["T0", "T1", "T2"]


@pytest.mark.parametrize("gone", ["group", "stream"])
def test_a_group_that_is_gone_is_made_again(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, gone: str
) -> None:
    publish(publisher, 2)
    assert len(consumer.consume(TUTORS, 10)) == 2
    if gone == "group":
        client.redis.xgroup_destroy(client.keys.stream(TUTORS), consumer.group)
        assert len(consumer.consume(TUTORS, 10)) == 2
    else:
        client.redis.delete(client.keys.stream(TUTORS))
        assert consumer.consume(TUTORS, 10) == []
    assert client.redis.xinfo_groups(client.keys.stream(TUTORS))[0]["name"] == consumer.group.encode()


def test_what_is_read_is_pending_until_it_is_acknowledged(
    publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    first, *_ = consumer.consume(TUTORS, 2)
    pending = consumer.get_pending_messages(TUTORS)
    assert [(one.consumer, one.deliveries) for one in pending] == [("one", 1), ("one", 1)]
    assert consumer.acknowledge(TUTORS, first["_redis_id"]) == 1
    assert consumer.acknowledge(TUTORS, first["_redis_id"]) == 0
    assert len(consumer.get_pending_messages(TUTORS)) == 1


def test_reading_acknowledges_in_the_same_round_trip(
    publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 4)
    first = consumer.read(TUTORS, 2)
    second = consumer.read(TUTORS, 2, acknowledge=[entry.id for entry in first])
    assert [one.entry_id for one in consumer.get_pending_messages(TUTORS)] == [entry.id for entry in second]


def test_a_blocked_read_wakes_when_a_message_comes(
    publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    consumer.create_consumer_group(TUTORS)
    timer = threading.Timer(0.2, publish, (publisher, 1))
    timer.start()
    started = time.monotonic()
    assert len(consumer.consume(TUTORS, 10, block_ms=10_000)) == 1
    assert time.monotonic() - started < 5
    timer.join()


def test_a_blocked_read_outlasts_the_socket_timeout_and_then_gives_up(
    consumer: MessageConsumer, client: RedisClient
) -> None:
    patient = MessageConsumer(
        RedisClient(client.settings.model_copy(update={"socket_timeout": 0.3})), "patient"
    )
    started = time.monotonic()
    assert patient.consume(TUTORS, 1, block_ms=800) == []
    assert 0.7 < time.monotonic() - started < 3
    patient.client.close()


def test_messages_that_were_left_are_taken_over_and_the_delivery_is_counted(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    consumer.consume(TUTORS, 2)
    assert other.claim_pending_messages(TUTORS, min_idle_time_ms=60_000) == []
    claimed = other.claim_pending_messages(TUTORS, min_idle_time_ms=0)
    assert [one["_deliveries"] for one in claimed] == [2, 2]
    assert {one.consumer for one in other.get_pending_messages(TUTORS)} == {"other"}


def test_pending_entries_deleted_from_outside_are_reported_as_lost(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 3)
    gone, *kept = [entry.id for entry in consumer.read(TUTORS, 3)]
    client.redis.xdel(client.keys.stream(TUTORS), gone)
    claimed = other.claim_stale(TUTORS, 10, min_idle_ms=0)
    assert claimed.lost == [gone]
    assert [entry.id for entry in claimed.entries] == kept
    assert other.statistics.lost == 1
    assert other.claim_stale(TUTORS, 10, min_idle_ms=0).lost == []


def test_what_is_given_back_is_there_at_once_and_was_not_counted(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 2)
    ids = [entry.id for entry in consumer.read(TUTORS, 2)]
    assert consumer.release(TUTORS, ids) == 2
    assert {one.consumer for one in consumer.get_pending_messages(TUTORS)} == {RELEASED_CONSUMER}
    claimed = other.claim_stale(TUTORS, 10)
    assert [(entry.id, entry.deliveries) for entry in claimed.entries] == [(one, 1) for one in ids]


def test_nobody_gives_back_what_another_holds(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 1)
    (entry,) = consumer.read(TUTORS, 1)
    other.claim_stale(TUTORS, 1, min_idle_ms=0)
    assert consumer.release(TUTORS, [entry.id]) == 0
    assert [one.consumer for one in other.get_pending_messages(TUTORS)] == ["other"]


def test_a_consumer_leaves_only_with_empty_hands(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 1)
    (entry,) = consumer.read(TUTORS, 1)
    assert consumer.leave(TUTORS) is False
    consumer.acknowledge(TUTORS, entry.id)
    assert consumer.leave(TUTORS) is True
    assert client.redis.xinfo_consumers(client.keys.stream(TUTORS), consumer.group) == []


def test_what_cannot_be_read_goes_to_the_dead_letters_and_its_neighbours_come_through(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 1)
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"\xff\x00 not json"})
    publish(publisher, 1)
    assert len(consumer.consume(TUTORS, 10)) == 2
    ((_, letter),) = client.redis.xrange(client.keys.dead_letter)
    assert letter[b"message"] == b"\xff\x00 not json"
    assert letter[b"reason"] == b"malformed"
    assert len(consumer.get_pending_messages(TUTORS)) == 2

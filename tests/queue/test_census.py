"""Counting a stream exactly, whatever others delete from it. On each kind of server."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.census import deleted_while_pending, entries_in_stream, put_back, take_census
from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER
from queue_core.entry_id import LARGEST_SEQUENCE, ZERO, EntryId
from tests.queue.conftest import tutor
from tests.queue.test_monitor import add_quickly

TUTORS = QueueChannels.TUTORS


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    return MessagePublisher(client)


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, (tutor(n) for n in range(count)))


def test_ids_are_ordered_as_the_server_orders_them() -> None:
    texts = ["0-0", "8-9", "8-10", "9-1", "10-0", f"10-{LARGEST_SEQUENCE}", "11-0", f"{2**64 - 1}-1"]
    ids = [EntryId.parse(text) for text in texts]
    assert sorted(ids) == ids
    assert [str(one) for one in ids] == texts
    assert all(one.following <= later for one, later in pairwise(ids))
    assert EntryId(10, LARGEST_SEQUENCE).following == EntryId(11, 0)


def test_a_stream_that_never_was_has_nothing(client: RedisClient) -> None:
    census = take_census(client, TUTORS, ZERO)
    assert (census.added, census.waiting, census.pending, census.group_exists) == (0, 0, (), False)
    assert (census.newest, census.delivered) == (ZERO, ZERO)
    assert client.redis.exists(client.keys.stream(TUTORS)) == 0


def test_what_is_added_later_is_beyond_the_horizon(client: RedisClient, publisher: MessagePublisher) -> None:
    for add in (0, 3):
        publish(publisher, add)
        census = take_census(client, TUTORS, ZERO)
        publish(publisher, 2)
        since = take_census(client, TUTORS, census.horizon)
        assert (since.waiting, since.waiting_since) == (census.waiting + 2, 2)


@pytest.mark.parametrize("backlog", [999, 1_000, 1_001, 2_300])
def test_a_long_backlog_is_counted_in_steps_on_both_sides_of_the_earlier_look(
    client: RedisClient, consumer: MessageConsumer, backlog: int
) -> None:
    add_quickly(client, backlog + 1)
    consumer.read(TUTORS, 1)
    horizon = take_census(client, TUTORS, ZERO).horizon
    add_quickly(client, backlog)
    census = take_census(client, TUTORS, horizon)
    assert (census.waiting, census.waiting_since) == (2 * backlog, backlog)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_others_delete_the_figures_are_exact(
    client: RedisClient, consumer: MessageConsumer, seed: int
) -> None:
    chance, stream = random.Random(seed), client.keys.stream(TUTORS)
    added, delivered, since, newer = 0, b"0-0", ZERO, set()
    for _ in range(40):
        count = chance.randint(1, 4)
        before = {entry_id for entry_id, _ in client.redis.xrange(stream)}
        add_quickly(client, count)
        added += count
        ids = [entry_id for entry_id, _ in client.redis.xrange(stream)]
        newer |= set(ids) - before
        action = chance.choice(["read", "read", "delete", "trim", "destroy", "look"])
        if action == "read":
            held = [entry.id for entry in consumer.read(TUTORS, chance.randint(1, 8))]
            consumer.acknowledge(TUTORS, *chance.sample(held, chance.randint(0, len(held))))
        elif action == "delete":
            client.redis.xdel(stream, *chance.sample(ids, chance.randint(1, len(ids))))
        elif action == "trim":
            client.redis.xtrim(stream, minid=chance.choice(ids), approximate=False)
        elif action == "destroy":
            client.redis.xgroup_destroy(stream, consumer.group)
        census = take_census(client, TUTORS, since)
        groups = client.redis.xinfo_groups(stream)
        delivered = groups[0]["last-delivered-id"] if groups else b"0-0"
        waiting = [entry_id for entry_id, _ in client.redis.xrange(stream, b"(" + delivered)]
        assert (census.added, census.waiting) == (added, len(waiting))
        assert census.waiting_since == len(newer & set(waiting))
        assert (str(census.delivered).encode(), census.group_exists) == (delivered, bool(groups))
        pending = client.redis.xpending_range(stream, consumer.group, "-", "+", 1_000) if groups else []
        assert [one["message_id"].decode() for one in pending] == list(census.pending)
        present = {entry_id.decode() for entry_id, _ in client.redis.xrange(stream)}
        assert deleted_while_pending(client, census) == [one for one in census.pending if one not in present]
        if action == "look":
            since, newer = census.horizon, set()


def test_more_pending_than_a_step_gives_are_all_named(client: RedisClient, consumer: MessageConsumer) -> None:
    add_quickly(client, 2_500)
    read = [entry.id for entry in consumer.read(TUTORS, 2_200)]
    census = take_census(client, TUTORS, ZERO)
    assert list(census.pending) == read
    assert census.oldest == EntryId.parse(read[0])
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=600, approximate=False)
    assert deleted_while_pending(client, census) == read[:1_900]
    assert take_census(client, TUTORS, ZERO).oldest == EntryId.parse(read[0])


def test_processed_entries_are_put_back_for_the_next_reader_as_if_never_delivered(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 4)
    done, deleted, held = (entry.id for entry in consumer.read(TUTORS, 3))
    consumer.acknowledge(TUTORS, done, deleted)
    stream = client.keys.stream(TUTORS)
    client.redis.xdel(stream, deleted)
    waiting = client.redis.xrevrange(stream, count=1)[0][0].decode()
    assert entries_in_stream(client, take_census(client, TUTORS, ZERO)) == [done]
    assert put_back(client, TUTORS, [done, deleted, held, waiting, "7-7"]) == 1
    pending = {one.entry_id: (one.consumer, one.deliveries) for one in consumer.get_pending_messages(TUTORS)}
    assert pending == {done: (RELEASED_CONSUMER, 0), held: (consumer.name, 1)}
    (claimed,) = other.claim(TUTORS, 10, min_idle_ms=60_000).new
    assert (claimed.id, claimed.deliveries) == (done, 1)


def test_without_a_group_or_a_stream_nothing_is_put_back(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 1)
    (entry,) = consumer.read(TUTORS, 1)
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), CONSUMER_GROUP)
    assert put_back(client, TUTORS, [entry.id]) == 0
    client.redis.delete(client.keys.stream(TUTORS))
    assert put_back(client, TUTORS, [entry.id]) == 0

"""What waits, where entries were deleted: by this library, or by others. On each kind of server."""

from __future__ import annotations

import random

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tests.queue.conftest import Like, tutor
from tests.queue.test_monitor import add_quickly, publish

TUTORS = QueueChannels.TUTORS


def truly_waiting(client: RedisClient) -> int:
    """Entries after the last that was delivered, counted one by one."""
    stream = client.keys.stream(TUTORS)
    groups = client.redis.xinfo_groups(stream) if client.redis.exists(stream) else []
    last = [group["last-delivered-id"].decode() for group in groups if group["name"] == b"tutormax-workers"]
    return len(client.redis.xrange(stream, f"({last[0]}" if last else "-"))


@pytest.mark.parametrize("place", [2, 5, 9])
def test_a_lag_that_the_server_lost_is_counted_instead(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, place: int
) -> None:
    publish(publisher, 10)
    consumer.read(TUTORS, 2)
    stream = client.keys.stream(TUTORS)
    client.redis.xdel(stream, client.redis.xrange(stream)[place][0])
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.waiting_is_exact, seen.pending) == (7, True, 2)


def test_it_is_counted_to_a_bound_and_then_called_a_least_number(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    add_quickly(client, 1_502)
    consumer.read(TUTORS, 1)
    stream = client.keys.stream(TUTORS)
    client.redis.xdel(stream, client.redis.xrange(stream, count=10)[-1][0])
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.waiting_is_exact) == (1_000, False)
    consumer.read(TUTORS, 600)
    assert snapshot(client, TUTORS).waiting >= truly_waiting(client) == 900


@pytest.mark.parametrize("how", ["delete", "trim"])
def test_where_all_that_waited_is_deleted_nothing_waits(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, how: str
) -> None:
    publish(publisher, 5)
    consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, 2)))
    stream = client.keys.stream(TUTORS)
    if how == "delete":
        client.redis.xdel(stream, *(entry_id for entry_id, _ in client.redis.xrange(stream)))
    else:
        client.redis.xtrim(stream, maxlen=0, approximate=False)
    seen = snapshot(client, TUTORS)
    assert (seen.length, seen.waiting, seen.oldest_unprocessed_age_seconds) == (0, 0, None)
    assert seen.entries_added == 5


def test_what_others_trimmed_before_it_was_read_does_not_wait(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 10)
    consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, 2)))
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=3, approximate=False)
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.waiting_is_exact, seen.entries_added) == (3, True, 10)


@pytest.mark.parametrize("seed", range(5))
def test_as_long_as_only_this_library_deletes_the_figures_are_exact(
    client: RedisClient, consumer: MessageConsumer, like: Like, seed: int
) -> None:
    chance, publisher = random.Random(seed), MessagePublisher(like(queue_maxlen=12))
    added = 0
    for turn in range(60):
        records = [tutor(turn)] * chance.randint(0, 7)
        added += publisher.publish_batch(TUTORS, records, raise_if_refused=False).published
        consumer.read(TUTORS, chance.randint(1, 7))
        held = [one.entry_id for one in consumer.get_pending_messages(TUTORS)]
        consumer.acknowledge(TUTORS, *held[: chance.randint(0, len(held))])
        seen = snapshot(client, TUTORS)
        assert (seen.waiting, seen.waiting_is_exact) == (truly_waiting(client), True)
        assert seen.pending == len(consumer.get_pending_messages(TUTORS))
        assert seen.entries_added == added


@pytest.mark.parametrize("seed", range(10))
def test_whatever_others_delete_nothing_that_waits_is_overlooked(
    client: RedisClient, consumer: MessageConsumer, seed: int
) -> None:
    chance, stream = random.Random(seed), client.keys.stream(TUTORS)
    is_valkey = client.health_check().server.startswith("valkey")
    for _ in range(40):
        add_quickly(client, chance.randint(1, 4))
        ids = [entry_id for entry_id, _ in client.redis.xrange(stream)]
        action = chance.choice(["read", "read", "delete", "trim", "destroy"])
        if action == "read":
            consumer.read(TUTORS, chance.randint(1, 8))
        elif action == "delete":
            client.redis.xdel(stream, *chance.sample(ids, chance.randint(1, len(ids))))
        elif action == "trim":
            client.redis.xtrim(stream, minid=chance.choice(ids), approximate=False)
        else:
            client.redis.xgroup_destroy(stream, consumer.group)
        seen, truth = snapshot(client, TUTORS), truly_waiting(client)
        assert seen.waiting >= truth
        assert (seen.waiting == 0) == (truth == 0)
        # Redis 7.0 does not notice some deletions, until all is read.
        assert seen.waiting == truth or not is_valkey

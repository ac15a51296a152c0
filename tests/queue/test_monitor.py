"""One look at a channel, on each kind of server."""

from __future__ import annotations

import statistics
import time

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from tests.conftest import settings_for

TUTORS = QueueChannels.TUTORS


def test_an_unused_channel_is_all_zero_and_a_look_makes_nothing(client: RedisClient) -> None:
    seen = snapshot(client, TUTORS)
    assert (seen.length, seen.waiting, seen.pending, seen.dead, seen.group_exists) == (0, 0, 0, 0, False)
    assert seen.oldest_unprocessed_age_seconds is None
    assert client.redis.exists(client.keys.stream(TUTORS)) == 0


def test_it_counts_waiting_and_pending(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(5)])
    assert snapshot(client, TUTORS).waiting == 5
    entries = consumer.read(TUTORS, 3)
    consumer.acknowledge(TUTORS, entries[0].id)
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending, seen.entries_added, seen.length) == (2, 2, 5, 5)
    assert seen.waiting_is_exact
    assert seen.group_exists
    assert not seen.claimable
    assert seen.oldest_unprocessed_age_seconds is not None
    consumer.release(TUTORS, [entries[1].id])
    assert snapshot(client, TUTORS).claimable


def test_a_lag_that_the_server_lost_is_counted_instead(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(10)])
    consumer.read(TUTORS, 2)
    stream = client.keys.stream(TUTORS)
    client.redis.xdel(stream, client.redis.xrange(stream)[5][0])
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.waiting_is_exact) == (7, True)


def test_a_look_costs_the_same_at_ten_and_at_a_million_waiting(any_server: EmbeddedServer) -> None:
    fill = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'm', 'x') end"
    with RedisClient(settings_for(any_server)) as client:
        MessageConsumer(client).create_consumer_group(TUTORS)
        medians = {}
        for waiting in (10, 1_000_000):
            missing = waiting - snapshot(client, TUTORS).waiting
            while missing:
                step = min(missing, 100_000)
                client.redis.eval(fill, 1, client.keys.stream(TUTORS), step)
                missing -= step
            assert snapshot(client, TUTORS).waiting == waiting
            medians[waiting] = statistics.median(_seconds(client) for _ in range(50))
        client.redis.delete(client.keys.stream(TUTORS))
    assert medians[1_000_000] < max(3 * medians[10], 0.005)


def _seconds(client: RedisClient) -> float:
    started = time.perf_counter()
    snapshot(client, TUTORS)
    return time.perf_counter() - started

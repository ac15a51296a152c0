"""Who holds entries for too long, and how much memory a stream takes: looked at, nothing changed."""

from __future__ import annotations

import time

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import QueueUnavailableError
from queue_core.group_health import holders
from queue_core.memory import memory_in_use
from queue_core.reclaim import reclaim
from queue_core.stale import stale_holders
from tests.queue.conftest import Like, tutor

TUTORS = QueueChannels.TUTORS
A_DAY_MS = 86_400_000


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    return MessagePublisher(client)


def test_without_a_stream_or_a_group_nobody_holds_anything(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    assert (stale_holders(client, TUTORS, 0), holders(client, TUTORS)) == ({}, [])
    client.redis.xadd(client.keys.stream(TUTORS), {"message": "x"})
    assert (stale_holders(client, TUTORS, 0), holders(client, TUTORS)) == ({}, [])


def test_each_holder_is_counted_from_the_least_idle_time(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, map(tutor, range(5)))
    consumer.read(TUTORS, 3)
    other.read(TUTORS, 2)
    assert stale_holders(client, TUTORS, 0) == {"one": 3, "other": 2}
    assert stale_holders(client, TUTORS, A_DAY_MS) == {}
    assert holders(client, TUTORS) == ["one", "other"]


def test_more_than_a_page_is_counted(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, map(tutor, range(2_100)))
    consumer.read(TUTORS, 2_100)
    assert stale_holders(client, TUTORS, 0) == {"one": 2_100}


def test_what_nobody_could_give_back_does_not_count(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, map(tutor, range(3)))
    first, second, _ = consumer.read(TUTORS, 3)
    client.redis.zadd(client.keys.retry(TUTORS), {first.id: time.time() * 1000 + A_DAY_MS})
    client.redis.xdel(client.keys.stream(TUTORS), second.id)
    assert stale_holders(client, TUTORS, 0) == {"one": 1}
    reclaim(client, TUTORS, min_idle_ms=0)
    assert stale_holders(client, TUTORS, 0) == {}


def test_memory_of_a_stream_grows_with_it_and_is_part_of_the_servers(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    assert memory_in_use(client, TUTORS).stream_bytes == 0
    publisher.publish_batch(TUTORS, map(tutor, range(1_000)))
    found = memory_in_use(client, TUTORS)
    assert 50_000 < found.stream_bytes < found.server_bytes


def test_redis_away_is_said_in_words(like: Like) -> None:
    away = RedisClient(like().settings.model_copy(update={"url": None, "host": "127.0.0.1", "port": 1}))
    for look in (lambda: stale_holders(away, TUTORS, 0), lambda: memory_in_use(away, TUTORS)):
        with pytest.raises(QueueUnavailableError, match="not available"):
            look()

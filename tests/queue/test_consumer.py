"""Reading as a member of the group, on each kind of server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import QueueUnavailableError
from queue_core.serializer import serialize
from tests.conftest import wait_until
from tests.queue.conftest import (
    Like,
    frozen,
    in_background,
    just_after,
    messages,
    tutor,
    wait_until_blocked,
)

TUTORS = QueueChannels.TUTORS


def publish(publisher: MessagePublisher, count: int) -> list[str | None]:
    return list(publisher.publish_batch(TUTORS, [tutor(n) for n in range(count)]))


def groups(client: RedisClient) -> list[bytes]:
    return [one["name"] for one in client.redis.xinfo_groups(client.keys.stream(TUTORS))]


def test_a_group_is_made_once_and_reads_from_the_beginning(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    ids = publish(publisher, 3)
    assert consumer.create_consumer_group(TUTORS) is True
    assert consumer.create_consumer_group("tutormax:tutors") is False
    assert groups(client) == [b"tutormax-workers"]
    assert [one["id"] for one in consumer.consume(TUTORS, 10)] == ids
    assert consumer.create_consumer_group(TUTORS) is False
    assert consumer.consume(TUTORS, 10) == []


def test_a_group_is_made_before_the_stream_is(client: RedisClient, consumer: MessageConsumer) -> None:
    assert consumer.create_consumer_group(TUTORS) is True
    assert client.redis.xlen(client.keys.stream(TUTORS)) == 0
    assert groups(client) == [b"tutormax-workers"]


def test_a_consumer_has_a_name_of_its_own_unless_one_is_given(client: RedisClient) -> None:
    assert MessageConsumer(client).name != MessageConsumer(client).name
    assert MessageConsumer(client, "run:1").name == "run:1"


@pytest.mark.parametrize("gone", ["group", "stream", "everything"])
@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.consume(TUTORS),
        lambda one: one.get_pending_messages(TUTORS),
        lambda one: one.claim_pending_messages(TUTORS, 0),
        lambda one: one.claim(TUTORS, 10).new,
        lambda one: one.release(TUTORS, ["1-1"]),
    ],
    ids=["consume", "pending", "claim_pending", "claim", "release"],
)
def test_a_group_that_is_gone_is_made_again_at_the_beginning(
    client: RedisClient, gone: str, call: Callable[[MessageConsumer], object]
) -> None:
    consumer, stream = MessageConsumer(client, "one"), client.keys.stream(TUTORS)
    publish(MessagePublisher(client), 2)
    assert len(consumer.consume(TUTORS)) == 2
    remove: dict[str, Callable[[], object]] = {
        "group": lambda: client.redis.xgroup_destroy(stream, consumer.group),
        "stream": lambda: client.redis.delete(stream),
        "everything": client.redis.flushall,
    }
    remove[gone]()
    found = call(consumer)
    assert groups(client) == [b"tutormax-workers"]
    ids = publish(MessagePublisher(client), 2)
    again = [*(found if isinstance(found, list) else []), *consumer.consume(TUTORS)]
    assert [one["id"] for one in again][-2:] == ids
    assert len(again) == (4 if gone == "group" else 2)


@pytest.mark.parametrize("gone", ["group", "stream"])
def test_a_reader_that_waits_outlives_its_group(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, like: Like, gone: str
) -> None:
    stream = client.keys.stream(TUTORS)
    waiting = MessageConsumer(like(), "waiting")
    with in_background(lambda: waiting.consume(TUTORS, block_ms=20_000)) as outcome:
        wait_until_blocked(client)
        if gone == "group":
            client.redis.xgroup_destroy(stream, consumer.group)
        else:
            client.redis.delete(stream)
        wait_until(lambda: client.redis.exists(stream) and groups(client))
        (message_id,) = publish(publisher, 1)
    assert [one["id"] for one in outcome[0]] == [message_id]


def test_acknowledging_in_a_group_that_is_gone_is_no_error(consumer: MessageConsumer) -> None:
    assert consumer.acknowledge(TUTORS, "1-1") == 0


def test_a_message_comes_as_its_envelope_with_its_entry_and_its_deliveries(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    message_id = publisher.publish(TUTORS, tutor(1), metadata={"source": "api"})
    (message,) = consumer.consume(TUTORS)
    (expected,) = messages(client)
    ((entry_id, _),) = client.redis.xrange(client.keys.stream(TUTORS))
    assert message == {
        "id": message_id,
        "timestamp": expected.published_at.isoformat().replace("+00:00", "Z"),
        "channel": client.keys.stream(TUTORS),
        "data": tutor(1),
        "metadata": {"source": "api"},
        "_redis_id": entry_id.decode(),
        "_deliveries": 1,
    }


def test_count_bounds_what_is_read_and_has_a_default(
    publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    ids = publish(publisher, 25)
    assert [one["id"] for one in consumer.consume(TUTORS, count=3)] == ids[:3]
    assert [one["id"] for one in consumer.consume(TUTORS)] == ids[3:13]
    greedy = MessageConsumer(like(worker_batch_size=500), "greedy")
    assert [one["id"] for one in greedy.consume(TUTORS)] == ids[13:]


def test_many_consumers_share_a_stream_and_none_reads_what_another_did(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    ids = publish(publisher, 2_000)
    MessageConsumer(client).create_consumer_group(TUTORS)
    seen: list[list[str]] = [[] for _ in range(4)]

    def drain(mine: list[str]) -> None:
        consumer = MessageConsumer(client)
        while found := consumer.consume(TUTORS, 7):
            mine += [one["id"] for one in found]
            consumer.acknowledge(TUTORS, *(one["_redis_id"] for one in found))

    threads = [threading.Thread(target=drain, args=[mine]) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one for mine in seen for one in mine) == sorted(ids)
    assert all(mine == sorted(mine, key=ids.index) for mine in seen)
    assert MessageConsumer(client).get_pending_messages(TUTORS) == []


def test_what_is_read_is_pending_until_it_is_acknowledged(
    publisher: MessagePublisher, consumer: MessageConsumer, other: MessageConsumer
) -> None:
    publish(publisher, 4)
    first, second = (one["_redis_id"] for one in consumer.consume(TUTORS, 2))
    (third,) = (one["_redis_id"] for one in other.consume(TUTORS, 1))
    pending = consumer.get_pending_messages(TUTORS)
    assert [(one.entry_id, one.consumer, one.deliveries) for one in pending] == [
        (first, "one", 1),
        (second, "one", 1),
        (third, "other", 1),
    ]
    assert all(0 <= one.idle_ms < 60_000 for one in pending)
    assert [one.entry_id for one in consumer.get_pending_messages(TUTORS, count=1)] == [first]
    assert consumer.acknowledge(TUTORS, first, third) == 2
    assert consumer.acknowledge(TUTORS, first) == 0
    assert consumer.acknowledge(TUTORS) == 0
    assert [one.entry_id for one in consumer.get_pending_messages(TUTORS)] == [second]


def test_reading_acknowledges_in_the_same_round_trip(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 4)
    first = [entry.id for entry in consumer.read(TUTORS, 2)]
    second = [entry.id for entry in consumer.read(TUTORS, 2, acknowledge=first)]
    assert [one.entry_id for one in consumer.get_pending_messages(TUTORS)] == second
    assert consumer.read(TUTORS, 2, acknowledge=[*first, *second]) == []
    assert consumer.get_pending_messages(TUTORS) == []
    assert (consumer.statistics.delivered, consumer.statistics.acknowledged) == (4, 4)


def test_nothing_waits_where_no_waiting_was_asked_for(consumer: MessageConsumer) -> None:
    started = time.monotonic()
    assert consumer.consume(TUTORS) == []
    assert time.monotonic() - started < 2


def test_a_blocked_read_wakes_when_a_message_comes(
    client: RedisClient, publisher: MessagePublisher, like: Like
) -> None:
    waiting = MessageConsumer(like())
    started = time.monotonic()
    with in_background(lambda: waiting.consume(TUTORS, 10, block_ms=20_000)) as outcome:
        wait_until_blocked(client)
        (message_id,) = publish(publisher, 1)
    assert [one["id"] for one in outcome[0]] == [message_id]
    assert time.monotonic() - started < 10


def test_a_blocked_read_outlasts_the_socket_timeout_and_then_gives_up(like: Like) -> None:
    patient = MessageConsumer(like(socket_timeout=0.2))
    started = time.monotonic()
    assert patient.consume(TUTORS, 1, block_ms=500) == []
    assert 0.49 < time.monotonic() - started < 5


def test_a_read_whose_answer_was_lost_is_not_repeated(
    any_server: EmbeddedServer, publisher: MessagePublisher, consumer: MessageConsumer, like: Like
) -> None:
    publish(publisher, 30)
    consumer.create_consumer_group(TUTORS)
    hasty = MessageConsumer(like(socket_timeout=0.3), "hasty")
    with frozen(any_server) as go_on:
        just_after(0.3, go_on)
        with pytest.raises(QueueUnavailableError):
            hasty.consume(TUTORS, 10)
        wait_until(lambda: consumer.get_pending_messages(TUTORS))
    assert len(consumer.get_pending_messages(TUTORS)) == 10
    assert len(consumer.claim_pending_messages(TUTORS, 0)) == 10


def test_what_cannot_be_read_goes_to_the_dead_letters_and_its_neighbours_come_through(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    stream = client.keys.stream(TUTORS)
    bad = {
        b"malformed": b"\xff\x00 not json",
        b"invalid": serialize("tutormax:sessions", tutor(1)),
        b"checksum_mismatch": serialize(stream, tutor(1)).replace(b"T001", b"T002"),
        b"too_large": b"x" * (1_048_576 + 1),
    }
    ids = publish(publisher, 1)
    for body in bad.values():
        client.redis.xadd(stream, {"message": body})
    client.redis.xadd(stream, {"other": "x"})
    ids += publish(publisher, 1)
    assert [one["id"] for one in consumer.consume(TUTORS, 10)] == ids
    letters = [fields for _, fields in client.redis.xrange(client.keys.dead_letter)]
    assert [letter[b"reason"] for letter in letters] == [*bad, b"malformed"]
    assert [letter.get(b"message") for letter in letters] == [*bad.values(), None]
    assert len(consumer.get_pending_messages(TUTORS)) == 2
    assert consumer.statistics.dead_lettered == 5


def test_an_empty_list_may_mean_that_nothing_was_readable(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    assert consumer.consume(TUTORS) == []
    assert consumer.get_pending_messages(TUTORS) == []
    assert client.redis.xlen(client.keys.dead_letter) == 1


def test_a_read_ends_when_it_has_bytes_enough(
    client: RedisClient, consumer: MessageConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_core.consumer.MOST_READ_BYTES", 100_000)
    for _ in range(200):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": b"x" * 10_000})
    assert len(consumer.read(TUTORS, 200)) == 50
    assert len(consumer.read(TUTORS, 200)) == 50
    assert len(consumer.read(TUTORS, 7)) == 7

"""Moving an entry to the dead letter stream, on each kind of server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import Letter
from queue_core.embedded import EmbeddedServer
from queue_core.entry import Entry
from queue_core.errors import QueueError, QueueUnavailableError
from queue_core.letter import MOST_FIELDS
from queue_core.monitor import snapshot
from queue_core.outcomes import Reason, Rejection
from tests.conftest import wait_until
from tests.queue.conftest import Like, frozen, tutor

TUTORS = QueueChannels.TUTORS
WHY = Rejection(Reason.MALFORMED, ("envelope: not JSON", "id: é"), "m-1")


@pytest.fixture
def entry(publisher: MessagePublisher, consumer: MessageConsumer) -> Entry:
    """An entry that is pending on the consumer."""
    publisher.publish(TUTORS, tutor(1))
    (entry,) = consumer.read(TUTORS, 1)
    return entry


def letters(client: RedisClient) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in client.redis.xrange(client.keys.dead_letter)]


def received(letter: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The entry's own fields, out of a letter."""
    fields = {name[6:]: value for name, value in letter.items() if name.startswith(b"field:")}
    for name, value in json.loads(letter.get(b"fields", b"[]").decode("latin-1")):
        fields[name.encode("latin-1")] = value.encode("latin-1")
    return fields | ({b"message": letter[b"message"]} if b"message" in letter else {})


@pytest.mark.parametrize(
    "fields",
    [
        {b"message": b"\xff\xfe\x00 not UTF-8"},
        {b"message": b'{"id": "trunc'},
        {b"message": b""},
        {b"message": b"x" * (1_048_576 + 1)},
        {b"other": b"\x00\x01"},
        {b"message": b"{}", b"trace": b"\x80", b"": b"", b"\xff": b"\r\n", b"field:message": b"x"},
        {b"reason": b"theirs", b"channel": b"theirs", b"message": b"{}", b"fields": b"theirs"},
        {b"message": b"{}", **{b"f%d" % n: b"v" for n in range(MOST_FIELDS)}},
        {b"message": b"{}", **{b"f%d\xff" % n: b"\x00%d" % n for n in range(MOST_FIELDS + 1)}},
        {b"f%d" % n: b"v" for n in range(20_000)},
    ],
    ids=[
        "invalid UTF-8",
        "truncated",
        "empty",
        "one byte too large",
        "no message field",
        "more fields",
        "fields named as those of a letter",
        "a thousand fields",
        "one field more",
        "20,000 fields",
    ],
)
def test_a_letter_keeps_the_exact_bytes(
    client: RedisClient, consumer: MessageConsumer, fields: dict[bytes, bytes]
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), fields)
    (entry,) = consumer.read(TUTORS, 1)
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 1
    (letter,) = letters(client)
    assert received(letter) == fields
    assert (letter[b"channel"], letter[b"reason"]) == (b"tutors", b"malformed")
    assert consumer.get_pending_messages(TUTORS) == []


def test_a_letter_says_where_it_came_from_and_why(
    client: RedisClient, consumer: MessageConsumer, other: MessageConsumer, entry: Entry
) -> None:
    (claimed,) = other.begin(TUTORS, other.claim(TUTORS, 1, min_idle_ms=0).left)
    other.dead_letter(TUTORS, [Letter(claimed, WHY)])
    (letter,) = letters(client)
    failed_at = datetime.fromisoformat(letter.pop(b"failed_at").decode())
    assert failed_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - failed_at) < timedelta(minutes=1)
    assert orjson.loads(letter.pop(b"errors")) == ["envelope: not JSON", "id: é"]
    assert letter == {
        b"message": entry.body,
        b"channel": b"tutors",
        b"entry_id": entry.id.encode(),
        b"message_id": b"m-1",
        b"reason": b"malformed",
        b"deliveries": b"2",
        b"consumer": b"other",
    }


def test_a_letter_whose_message_id_could_not_be_read_has_none(
    client: RedisClient, consumer: MessageConsumer, entry: Entry
) -> None:
    consumer.dead_letter(TUTORS, [Letter(entry, Rejection(Reason.TOO_LARGE, ()))])
    assert [(one[b"message_id"], one[b"errors"]) for one in letters(client)] == [(b"", b"[]")]


def test_moving_twice_leaves_one_letter(client: RedisClient, consumer: MessageConsumer, entry: Entry) -> None:
    letter = Letter(entry, WHY)
    assert [consumer.dead_letter(TUTORS, [letter, letter]), consumer.dead_letter(TUTORS, [letter])] == [1, 0]
    assert len(letters(client)) == 1
    assert snapshot(client, TUTORS).dead == 1
    assert consumer.statistics.dead_lettered == 1


@pytest.mark.parametrize("gone", ["acknowledged", "group", "stream"])
def test_what_is_no_longer_pending_is_not_moved(
    client: RedisClient, consumer: MessageConsumer, other: MessageConsumer, entry: Entry, gone: str
) -> None:
    stream = client.keys.stream(TUTORS)
    settle: dict[str, Callable[[], object]] = {
        "acknowledged": lambda: other.acknowledge(TUTORS, entry.id),
        "group": lambda: client.redis.xgroup_destroy(stream, consumer.group),
        "stream": lambda: client.redis.delete(stream),
    }
    settle[gone]()
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 0
    assert letters(client) == []
    assert snapshot(client, TUTORS).dead == 0


def test_of_many_who_move_it_at_once_one_does(client: RedisClient, publisher: MessagePublisher) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(50)])
    entries = MessageConsumer(client).read(TUTORS, 50)
    moved = []

    def move() -> None:
        moved.append(MessageConsumer(client).dead_letter(TUTORS, [Letter(one, WHY) for one in entries]))

    threads = [threading.Thread(target=move) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 50
    buried = sorted(letter[b"entry_id"].decode() for letter in letters(client))
    assert buried == sorted(entry.id for entry in entries)
    assert snapshot(client, TUTORS).dead == 50


def test_neighbours_stay_as_they_are(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, [tutor(n) for n in range(4)])
    one, two, three = consumer.read(TUTORS, 3)
    consumer.dead_letter(TUTORS, [Letter(two, WHY)])
    assert [left.entry_id for left in consumer.get_pending_messages(TUTORS)] == [one.id, three.id]
    assert publisher.get_stream_length(TUTORS) == 4
    assert len(consumer.read(TUTORS, 10)) == 1


def test_all_channels_share_one_stream_and_are_counted_apart(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    for count, channel in enumerate(QueueChannels.all(), start=1):
        publisher.publish_batch(channel, [{}] * count)
        found = [Letter(entry, WHY) for entry in consumer.read(channel, 10)]
        assert consumer.dead_letter(channel, found) == count
    assert [snapshot(client, channel).dead for channel in QueueChannels.all()] == [1, 2, 3]
    assert [one[b"channel"] for one in letters(client)] == [b"tutors"] + [b"sessions"] * 2 + [b"feedback"] * 3


def test_its_retry_and_its_attempts_go_with_it_and_those_of_others_stay(
    client: RedisClient, consumer: MessageConsumer, entry: Entry
) -> None:
    retry, processing = client.keys.retry(TUTORS), client.keys.processing(TUTORS)
    client.redis.zadd(retry, {entry.id: 1, "1-1": 2})
    client.redis.hset(processing, mapping={entry.id: "[]", "1-1": "[]"})
    consumer.dead_letter(TUTORS, [Letter(entry, WHY)])
    assert client.redis.zrange(retry, 0, -1) == [b"1-1"]
    assert client.redis.hkeys(processing) == [b"1-1"]


def test_where_the_letter_cannot_be_written_the_entry_stays_pending(
    client: RedisClient, consumer: MessageConsumer, entry: Entry
) -> None:
    client.redis.set(client.keys.dead_letter, "not a stream")
    with pytest.raises(QueueError, match="WRONGTYPE"):
        consumer.dead_letter(TUTORS, [Letter(entry, WHY)])
    assert [one.entry_id for one in consumer.get_pending_messages(TUTORS)] == [entry.id]
    client.redis.delete(client.keys.dead_letter)
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 1


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
    ids=["out of memory", "read only", "no replicas"],
)
def test_a_server_that_cannot_write_moves_all_or_nothing(
    own_client: RedisClient, trouble: tuple[str, ...], remedy: tuple[str, ...]
) -> None:
    consumer = MessageConsumer(own_client)
    MessagePublisher(own_client).publish(TUTORS, tutor(1))
    (entry,) = consumer.read(TUTORS, 1)
    own_client.redis.execute_command(*trouble)
    with pytest.raises(QueueUnavailableError):
        consumer.dead_letter(TUTORS, [Letter(entry, WHY)])
    assert letters(own_client) == []
    assert len(consumer.get_pending_messages(TUTORS)) == 1
    own_client.redis.execute_command(*remedy)
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 1
    assert (len(letters(own_client)), consumer.get_pending_messages(TUTORS)) == (1, [])


def test_a_move_whose_answer_was_lost_can_be_made_again_and_leaves_one_letter(
    any_server: EmbeddedServer, client: RedisClient, consumer: MessageConsumer, entry: Entry, like: Like
) -> None:
    hasty = MessageConsumer(like(socket_timeout=0.3), "hasty")
    consumer.dead_letter(TUTORS, [Letter(Entry("1-1", {}), WHY)])
    with frozen(any_server) as go_on:
        with pytest.raises(QueueUnavailableError):
            hasty.dead_letter(TUTORS, [Letter(entry, WHY)])
        go_on()
        wait_until(lambda: letters(client))
    assert hasty.dead_letter(TUTORS, [Letter(entry, WHY)]) == 0
    assert len(letters(client)) == 1


def test_a_group_made_anew_delivers_again_and_nothing_is_moved_twice(
    client: RedisClient, consumer: MessageConsumer, entry: Entry
) -> None:
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 1
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), "tutormax-workers")
    (again,) = consumer.read(TUTORS, 1)
    assert again.id == entry.id
    assert consumer.dead_letter(TUTORS, [Letter(again, WHY)]) == 0
    assert len(letters(client)) == 1
    seen = snapshot(client, TUTORS)
    assert (seen.dead, seen.pending) == (1, 0)


def test_a_field_given_twice_is_kept_twice(client: RedisClient, consumer: MessageConsumer) -> None:
    stream, given = client.keys.stream(TUTORS), ["message", "first", "message", "second", "x", "1", "x", "2"]
    client.redis.execute_command("XADD", stream, "*", *given)
    (entry,) = consumer.read(TUTORS, 1)
    consumer.dead_letter(TUTORS, [Letter(entry, WHY)])
    source = "return redis.call('XRANGE', KEYS[1], '-', '+')[1][2]"
    flat = client.redis.eval(source, 1, client.keys.dead_letter)
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    assert [value for name, value in pairs if name == b"message"] == [b"first", b"second"]
    assert [value for name, value in pairs if name == b"field:x"] == [b"1", b"2"]

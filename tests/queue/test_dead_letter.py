"""Moving an entry to the dead letter stream, on each kind of server."""

from __future__ import annotations

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import Letter
from queue_core.monitor import snapshot
from queue_core.outcomes import Reason, Rejection

TUTORS = QueueChannels.TUTORS
WHY = Rejection(Reason.MALFORMED, ("envelope: not JSON",), "m-1")


@pytest.mark.parametrize(
    "fields",
    [
        {b"message": b"\xff\xfe\x00 not UTF-8"},
        {b"message": b'{"id": "trunc'},
        {b"message": b"x" * (1_048_576 + 1)},
        {b"other": b"\x00\x01"},
        {b"message": b"{}", b"trace": b"\x80"},
    ],
    ids=["invalid UTF-8", "truncated", "one byte too large", "no message field", "one field more"],
)
def test_a_letter_keeps_the_exact_bytes(
    client: RedisClient, consumer: MessageConsumer, fields: dict[bytes, bytes]
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), fields)
    (entry,) = consumer.read(TUTORS, 1)
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 1
    ((_, letter),) = client.redis.xrange(client.keys.dead_letter)
    kept = {name.removeprefix(b"field:"): letter[name] for name in letter if name[:6] == b"field:"}
    kept |= {b"message": letter[b"message"]} if b"message" in letter else {}
    assert kept == fields
    assert (letter[b"channel"], letter[b"entry_id"]) == (b"tutors", entry.id.encode())
    assert (letter[b"reason"], letter[b"message_id"], letter[b"consumer"]) == (b"malformed", b"m-1", b"one")
    assert orjson.loads(letter[b"errors"]) == ["envelope: not JSON"]
    assert consumer.get_pending_messages(TUTORS) == []


def test_moving_twice_leaves_one_letter(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    (entry,) = consumer.read(TUTORS, 1)
    letter = Letter(entry, WHY)
    assert [consumer.dead_letter(TUTORS, [letter]), consumer.dead_letter(TUTORS, [letter])] == [1, 0]
    assert client.redis.xlen(client.keys.dead_letter) == 1
    assert snapshot(client, TUTORS).dead == 1


def test_what_somebody_else_settled_is_not_moved(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    (entry,) = consumer.read(TUTORS, 1)
    consumer.acknowledge(TUTORS, entry.id)
    assert consumer.dead_letter(TUTORS, [Letter(entry, WHY)]) == 0
    assert client.redis.xlen(client.keys.dead_letter) == 0

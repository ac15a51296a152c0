"""Dead letters for tests: published, read and given up as a consumer does it."""

from __future__ import annotations

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import Letter
from queue_core.outcomes import Reason, Rejection
from queue_core.serializer import deserialize
from tests.queue.conftest import tutor


def bury(
    client: RedisClient,
    count: int = 1,
    *,
    channel: Channel = QueueChannels.TUTORS,
    reason: Reason = Reason.REJECTED,
    errors: tuple[str, ...] = ("database: no",),
    fields: dict[bytes, bytes] | None = None,
    name: str = "x",
) -> list[str]:
    """Letters of tutors, or of entries with these fields; returns their ids."""
    if fields is None:
        records = ({**tutor(number), "name": name} for number in range(count))
        MessagePublisher(client).publish_batch(channel, records)
    else:
        client.redis.xadd(client.keys.stream(channel), fields)
    return bury_waiting(client, channel, reason, errors)


def bury_waiting(
    client: RedisClient,
    channel: Channel = QueueChannels.TUTORS,
    reason: Reason = Reason.REJECTED,
    errors: tuple[str, ...] = ("database: no",),
) -> list[str]:
    """Give up everything that waits; returns the ids of the letters."""
    before = client.redis.xlen(client.keys.dead_letter)
    consumer = MessageConsumer(client, "gives-up")
    while entries := consumer.read(channel, 1_000):
        letters = []
        for entry in entries:
            read = deserialize(entry.body)
            identity = read.message_id if isinstance(read, Rejection) else read.id
            letters.append(Letter(entry, Rejection(reason, errors, identity)))
        assert consumer.dead_letter(channel, letters) == len(letters)
    found = client.redis.xrange(client.keys.dead_letter)[before:]
    return [letter_id.decode() for letter_id, _ in found]


def waiting(client: RedisClient, channel: Channel = QueueChannels.TUTORS) -> list[dict[bytes, bytes]]:
    """The fields of the channel's entries that no consumer has had."""
    return [dict(entry.fields) for entry in MessageConsumer(client, "looks").read(channel, 100_000)]

"""Reading as a member of the consumer group: deliver, acknowledge, take over, give back.

    consumer = MessageConsumer(get_redis_client())
    for message in consumer.consume(QueueChannels.TUTORS, count=10, block_ms=5000):
        print(message["data"])
        consumer.acknowledge(QueueChannels.TUTORS, message["_redis_id"])

A message that is read stays pending on its consumer until it is acknowledged; if that never
happens, another consumer takes it over (``claim_pending_messages``). What cannot be read as a
message is moved to the dead letter stream and never returned.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import redis
from redis.client import Pipeline

from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER, Channel, QueueChannels
from queue_core.client import RedisClient, answer_of
from queue_core.dead_letter import Letter, bury
from queue_core.entry import Claimed, Entry, entries_of
from queue_core.failpoints import around
from queue_core.outcomes import Message, Rejection
from queue_core.serializer import deserialize

_T = TypeVar("_T")

#: Answers to a command of a group that is not there; the last one to a read that was blocked on it.
_GROUP_IS_GONE = ("NOGROUP", "UNBLOCKED the stream key no longer exists")
_GROUP_TRIES = 5

#: A blocking read may end this late: servers look for expired ones ten times a second.
_LATE_MS = 100


@dataclass(frozen=True, slots=True)
class PendingMessage:
    """An entry that was delivered and not acknowledged.

    Attributes:
        entry_id: its id in the stream.
        consumer: who holds it.
        idle_ms: since when, in ms before now.
        deliveries: how often it was delivered.
    """

    entry_id: str
    consumer: str
    idle_ms: int
    deliveries: int


@dataclass(slots=True)
class ConsumerStatistics:
    """What this consumer did since it was made."""

    delivered: int = 0
    acknowledged: int = 0
    claimed: int = 0
    dead_lettered: int = 0
    lost: int = 0


class MessageConsumer:
    """One consumer of the group; its name is unique to its process, or given (``run:<run id>``).

    Args:
        client: the connection.
        name: the consumer's name in the group.
        group: the consumer group.
    """

    def __init__(self, client: RedisClient, name: str | None = None, *, group: str = CONSUMER_GROUP) -> None:
        self.client = client
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.group = group
        self.statistics = ConsumerStatistics()

    def create_consumer_group(self, channel: Channel | str) -> bool:
        """Create the group at the stream's beginning, and the stream if need be.

        Returns:
            True if it was created, False if it was there.
        """
        with self.client.errors():
            try:
                with around("create_consumer_group"):
                    self.client.redis.xgroup_create(self._stream(channel), self.group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
                return False
        return True

    def consume(
        self, channel: Channel | str, count: int | None = None, block_ms: int = 0
    ) -> list[dict[str, Any]]:
        """Deliver messages that nobody has had yet.

        Args:
            channel: a channel, its name or its key.
            count: most messages; ``REDIS_WORKER_BATCH_SIZE`` when not given.
            block_ms: how long to wait for the first one; 0 does not wait.

        Returns:
            For each message its envelope, with ``_redis_id`` (entry id) and ``_deliveries`` added.
            May be empty although messages waited, when none of them was readable.
        """
        found = QueueChannels.find(channel)
        entries = self.read(found, count or self.client.settings.worker_batch_size, block_ms=block_ms)
        return self._readable(found, entries)

    def acknowledge(self, channel: Channel | str, *entry_ids: str) -> int:
        """Declare entries processed; returns how many were pending until now."""
        if not entry_ids:
            return 0
        with self.client.errors(), around("acknowledge"):
            done: int = self.client.redis.xack(self._stream(channel), self.group, *entry_ids)
        self.statistics.acknowledged += done
        return done

    def get_pending_messages(self, channel: Channel | str, count: int = 100) -> list[PendingMessage]:
        """The oldest entries that were delivered and not acknowledged, of all consumers."""
        with self.client.errors():
            rows: list[dict[str, Any]] = self._in_group(
                channel,
                lambda: self.client.redis.xpending_range(self._stream(channel), self.group, "-", "+", count),
            )
        return [
            PendingMessage(
                entry_id=row["message_id"].decode(),
                consumer=row["consumer"].decode(),
                idle_ms=row["time_since_delivered"],
                deliveries=row["times_delivered"],
            )
            for row in rows
        ]

    def claim_pending_messages(
        self, channel: Channel | str, min_idle_time_ms: int | None = None, count: int = 100
    ) -> list[dict[str, Any]]:
        """Take over messages that were delivered and then left.

        Args:
            channel: a channel, its name or its key.
            min_idle_time_ms: least time since their delivery; ``REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS``
                when not given.
            count: most messages.

        Returns:
            As :meth:`consume`.
        """
        found = QueueChannels.find(channel)
        return self._readable(found, self.claim_stale(found, count, min_idle_ms=min_idle_time_ms).entries)

    def read(
        self, channel: Channel, count: int, *, block_ms: int = 0, acknowledge: Sequence[str] = ()
    ) -> list[Entry]:
        """Acknowledge what is done and deliver new entries, in one round trip.

        Blocks in slices, each well inside ``REDIS_SOCKET_TIMEOUT``. A group that is gone is made again.
        """
        deadline = time.monotonic() + block_ms / 1000
        longest_ms = max(1, int(self.client.settings.socket_timeout * 500) - _LATE_MS)
        done = list(acknowledge)
        while True:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000))
            wait_ms = min(left_ms, longest_ms)
            with self.client.errors():
                acknowledged, entries = self._in_group(
                    channel, partial(self._read, channel, count, wait_ms, done)
                )
            self.statistics.acknowledged += acknowledged
            self.statistics.delivered += len(entries)
            done = []
            if entries or left_ms <= longest_ms:
                return entries

    def claim_stale(self, channel: Channel, count: int, *, min_idle_ms: int | None = None) -> Claimed:
        """Take over entries whose consumer has not been heard of; reports those deleted under it."""
        if min_idle_ms is None:
            min_idle_ms = int(self.client.settings.worker_max_processing_time_seconds * 1000)
        with self.client.errors():
            taken, deliveries, lost = self._in_group(
                channel,
                lambda: self.client.run(
                    "claim_stale", [self._stream(channel)], [self.group, self.name, min_idle_ms, count]
                ),
            )
        entries = [
            Entry(entry_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True)), times)
            for (entry_id, fields), times in zip(taken, deliveries, strict=True)
        ]
        self.statistics.claimed += len(entries)
        self.statistics.lost += len(lost)
        return Claimed(entries, [entry_id.decode() for entry_id in lost])

    def dead_letter(self, channel: Channel, letters: Sequence[Letter]) -> int:
        """Move pending entries to the dead letter stream, each acknowledged in the same step.

        Returns:
            How many were moved; those that are no longer pending are left as they are.
        """
        with self.client.errors():
            moved = bury(self.client, self.group, self.name, channel, letters)
        self.statistics.dead_lettered += moved
        return moved

    def release(self, channel: Channel, entry_ids: Sequence[str]) -> int:
        """Give back entries that were not begun: the next reader gets them at once, uncounted."""
        if not entry_ids:
            return 0
        with self.client.errors():
            return int(
                self._in_group(
                    channel,
                    lambda: self.client.run(
                        "release",
                        [self._stream(channel)],
                        [self.group, self.name, RELEASED_CONSUMER, *entry_ids],
                    ),
                )
            )

    def leave(self, channel: Channel) -> bool:
        """Remove this consumer from the group, unless something is pending on it."""
        with self.client.errors():
            return bool(
                self._in_group(
                    channel,
                    lambda: self.client.run("leave", [self._stream(channel)], [self.group, self.name]),
                )
            )

    def _read(
        self, channel: Channel, count: int, block_ms: int, done: Sequence[str]
    ) -> tuple[int, list[Entry]]:
        stream = self._stream(channel)
        pipeline: Pipeline = self.client.pipeline()
        if done:
            pipeline.xack(stream, self.group, *done)
        pipeline.xreadgroup(self.group, self.name, {stream: ">"}, count=count, block=block_ms or None)
        with around("read"):
            *acknowledged, reply = pipeline.execute()
        return sum(acknowledged), [entry for rows in reply.values() for entry in entries_of(rows)]

    def _in_group(self, channel: Channel | str, action: Callable[[], _T]) -> _T:
        tries = 1
        while True:
            try:
                return action()
            except redis.ResponseError as error:
                if tries == _GROUP_TRIES or not answer_of(error).startswith(_GROUP_IS_GONE):
                    raise
            # A reader that waits may see it go more than once.
            self.create_consumer_group(channel)
            tries += 1

    def _readable(self, channel: Channel, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        stream, largest = self._stream(channel), self.client.settings.max_message_size_bytes
        messages, letters = [], []
        for entry in entries:
            result = deserialize(entry.body, channel=stream, max_bytes=largest)
            if isinstance(result, Rejection):
                letters.append(Letter(entry, result))
            else:
                messages.append(_as_dict(result, entry))
        if letters:
            self.dead_letter(channel, letters)
        return messages

    def _stream(self, channel: Channel | str) -> str:
        return self.client.keys.stream(QueueChannels.find(channel))


def _as_dict(message: Message, entry: Entry) -> dict[str, Any]:
    return {
        "id": message.id,
        "timestamp": message.published_at.isoformat().replace("+00:00", "Z"),
        "channel": message.channel,
        "data": message.data,
        "metadata": message.metadata,
        "_redis_id": entry.id,
        "_deliveries": entry.deliveries,
    }

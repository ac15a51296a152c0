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

import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from redis.client import Pipeline

from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER, Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.dead_letter import Letter, bury
from queue_core.entry import (
    Claimed,
    Delivery,
    Entry,
    LeftEntry,
    entries_of,
    entries_of_script,
    fields_of,
)
from queue_core.failpoints import around
from queue_core.group import ConsumerGroup
from queue_core.isolation import crash_loop, most_deliveries
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.pending import Finish, PendingMessage
from queue_core.retry import PlannedRetry, plan_retry
from queue_core.serializer import deserialize

_log = logging.getLogger(__name__)

#: Bytes of messages that are delivered at once; a few more, as many as one step of the script reads.
MOST_READ_BYTES = 33_554_432
#: Entries that a read which waited takes: those after them are read at once, and by bytes.
_FEW = 50

#: A blocking read may end this late: servers look for expired ones ten times a second.
_LATE_MS = 100


@dataclass(slots=True)
class ConsumerStatistics:
    """What this consumer did since it was made."""

    delivered: int = 0
    acknowledged: int = 0
    claimed: int = 0
    retried: int = 0
    dead_lettered: int = 0
    lost: int = 0


class MessageConsumer:
    """One consumer of the group; its name is unique to its process, or given (``run:<run id>``).

    Args:
        client: the connection.
        name: the consumer's name in the group.
        group: the consumer group. Another than the default one can read and acknowledge; whatever would
            touch the default one's retries raises ConfigurationError.
    """

    def __init__(self, client: RedisClient, name: str | None = None, *, group: str = CONSUMER_GROUP) -> None:
        self.client = client
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._group = ConsumerGroup(client, group)
        self.statistics = ConsumerStatistics()
        #: Entries taken over that have failed attempts on record, to be removed with their final state.
        self._attempted: set[str] = set()
        self._random = random.Random()  # noqa: S311 - spreads retries, keeps no secret

    @property
    def group(self) -> str:
        """Name of the consumer group."""
        return self._group.name

    def create_consumer_group(self, channel: Channel | str) -> bool:
        """Create the group at the stream's beginning, and the stream if need be.

        Returns:
            True if it was created, False if it was there.
        """
        return self._group.create(QueueChannels.find(channel))

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
        with self.client.errors():
            pipeline = self.client.pipeline()
            self._queue_acknowledgements(pipeline, QueueChannels.find(channel), entry_ids)
            with around("acknowledge"):
                done: int = pipeline.execute()[0]
        self.statistics.acknowledged += done
        return done

    def finish(self, channel: Channel, entry_ids: Sequence[str]) -> list[Finish]:
        """Acknowledge what this consumer still holds, and tell of each entry what became of it."""
        keys = self._group.entry_keys(channel)[::2]
        answers = self._group.run("finish", channel, keys, [self.name, *entry_ids]) if entry_ids else []
        self._attempted.difference_update(entry_ids)
        self.statistics.acknowledged += answers.count(Finish.DONE)
        return [Finish(answer) for answer in answers]

    def get_pending_messages(self, channel: Channel | str, count: int = 100) -> list[PendingMessage]:
        """The oldest entries that were delivered and not acknowledged, of all consumers."""
        found = QueueChannels.find(channel)
        rows: list[dict[str, Any]] = self._group.attempt(
            found, lambda: self.client.redis.xpending_range(self._stream(found), self.group, "-", "+", count)
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
        claimed = self.claim(found, count, min_idle_ms=min_idle_time_ms)
        if claimed.lost:
            _log.error("%d messages of %s were deleted before they were processed.", len(claimed.lost), found)
            self.acknowledge(found, *claimed.lost)
        taken = [*claimed.new, *self.begin(found, claimed.left)]
        return self._readable(found, sorted(taken, key=attrgetter("position")))

    def read(
        self, channel: Channel, count: int, *, block_ms: int = 0, acknowledge: Sequence[str] = ()
    ) -> list[Entry]:
        """Acknowledge what is done and deliver new entries, in one round trip.

        Bounded by bytes as well, at about ``MOST_READ_BYTES``. Blocks in slices, each well inside
        ``REDIS_SOCKET_TIMEOUT``. A group that is gone is made again.
        """
        deadline = time.monotonic() + block_ms / 1000
        longest_ms = max(1, int(self.client.settings.socket_timeout * 500) - _LATE_MS)
        entries = self._group.attempt(channel, partial(self._read_now, channel, count, list(acknowledge)))
        while not entries and (left_ms := int((deadline - time.monotonic()) * 1000)) > 0:
            wait_ms = min(left_ms, longest_ms)
            entries = self._group.attempt(channel, partial(self._wait, channel, count, wait_ms))
        self.statistics.delivered += len(entries)
        return entries

    def claim(
        self,
        channel: Channel,
        count: int,
        *,
        min_idle_ms: int | None = None,
        most_bytes: int = MOST_READ_BYTES,
    ) -> Claimed:
        """Take over what is to be tried again: retries that are due, then what another consumer left.

        Args:
            channel: the channel.
            count: most entries.
            min_idle_ms: what was delivered longer ago than this counts as left;
                ``REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS`` when not given.
            most_bytes: ends with the entry that reaches this.
        """
        if min_idle_ms is None:
            min_idle_ms = self.client.settings.worker_max_processing_time_ms
        new, left, lost, due_ms = self._group.run(
            "claim", channel, self._group.entry_keys(channel), [self.name, min_idle_ms, count, most_bytes]
        )
        self.statistics.claimed += len(new) + len(left)
        self.statistics.lost += len(lost)
        return Claimed(
            entries_of_script(new, Delivery.AGAIN),
            [LeftEntry(entry_id.decode(), deliveries) for entry_id, deliveries in left],
            [entry_id.decode() for entry_id in lost],
            due_ms / 1000 if due_ms >= 0 else None,
        )

    def begin(self, channel: Channel, entries: Sequence[LeftEntry]) -> list[Entry]:
        """Count a delivery of entries that were taken over, and receive them, just before they are processed.

        Returns:
            Those that this consumer still holds. One that was delivered too often without an outcome
            (``isolation``) is withheld: it is to be given up unread.
        """
        if not entries:
            return []
        bound = most_deliveries(self.client.settings)
        ids = [entry.id for entry in entries]
        replies = self._group.run("begin", channel, self._group.entry_keys(channel), [self.name, bound, *ids])
        begun = [
            Entry(entry_id, fields_of(flat), deliveries, failures, Delivery.AGAIN)
            for entry_id, (deliveries, failures, flat) in zip(ids, replies, strict=True)
            if deliveries
        ]
        self._attempted.update(entry.id for entry in begun if entry.failures)
        return [entry if entry.fields else entry._replace(delivery=Delivery.WITHHELD) for entry in begun]

    def retry(self, channel: Channel | str, entry_id: str, error: str) -> float | None:
        """Give up an attempt and try again later, after ``REDIS_RETRY_BACKOFF_MS`` x 2^(n-1) with jitter.

        The entry stays pending. When ``REDIS_MAX_RETRIES`` are used up it becomes a dead letter
        (``retries_exhausted``), with every attempt.

        Args:
            channel: a channel, its name or its key.
            entry_id: an entry that this consumer holds.
            error: what went wrong, in one line; it is kept and shown, so never a value of the message.

        Returns:
            Seconds until it is due; None where there is no next time: it is a dead letter now, or this
            consumer no longer held it.
        """
        found = QueueChannels.find(channel)
        planned = self.plan_retry(found, entry_id, error)
        if planned.used_up:
            self._exhausted(found, entry_id, error)
        return planned.delay_seconds

    def plan_retry(self, channel: Channel, entry_id: str, error: str) -> PlannedRetry:
        """As :meth:`retry`, but where the retries are used up the entry stays with this consumer.

        For those who record a final state elsewhere before they write a dead letter.
        """
        planned = plan_retry(self._group, channel, self.name, entry_id, error, rng=self._random)
        if not planned.used_up:
            self._attempted.discard(entry_id)
        self.statistics.retried += planned.delay_seconds is not None
        return planned

    def dead_letter(self, channel: Channel, letters: Sequence[Letter]) -> int:
        """Move pending entries to the dead letter stream, each acknowledged in the same step.

        Returns:
            How many were moved; those that are no longer pending are left as they are.
        """
        with self.client.errors():
            moved = bury(self.client, self.group, self.name, channel, letters)
        self.statistics.dead_lettered += moved
        return moved

    def release(self, channel: Channel, entry_ids: Sequence[str], *, counted: bool = True) -> int:
        """Give back entries, so that the next reader gets them at once.

        Args:
            channel: the channel.
            entry_ids: entries that this consumer holds.
            counted: whether this delivery was counted, which is then taken back; it was not where they
                were taken over and not begun.

        Returns:
            How many it still held, and gave back.
        """
        if not entry_ids:
            return 0
        arguments = [self.name, RELEASED_CONSUMER, int(counted), *entry_ids]
        return int(self._group.run("release", channel, self._group.entry_keys(channel)[:1], arguments))

    def leave(self, channel: Channel) -> bool:
        """Remove this consumer from the group, unless something is pending on it."""
        return bool(self._group.run("leave", channel, [self._stream(channel)], [self.name]))

    def _exhausted(self, channel: Channel, entry_id: str, error: str) -> None:
        stream = self._stream(channel)
        with self.client.errors():
            pipeline = self.client.pipeline()
            pipeline.xrange(stream, entry_id, entry_id)
            pipeline.xpending_range(stream, self.group, entry_id, entry_id, 1)
            found, pending = pipeline.execute()
        for read, row in zip(entries_of(found), pending, strict=False):
            entry = read._replace(deliveries=row["times_delivered"])
            result = deserialize(entry.body)
            rejection = Rejection(
                Reason.RETRIES_EXHAUSTED,
                (f"last attempt: {error}",),
                result.message_id,
                result.published_at,
            )
            self.dead_letter(channel, [Letter(entry, rejection)])

    def _read_now(self, channel: Channel, count: int, done: Sequence[str]) -> list[Entry]:
        pipeline = self.client.pipeline()
        if done:
            self._queue_acknowledgements(pipeline, channel, done)
        # EVAL and not EVALSHA: redis-py would ask for the script in a round trip of its own.
        source = str(self.client.script("read").script)
        pipeline.eval(source, 1, self._stream(channel), self.group, self.name, count, MOST_READ_BYTES)
        with around("read"):
            *acknowledged, reply = pipeline.execute()
        self.statistics.acknowledged += acknowledged[0] if acknowledged else 0
        return entries_of_script(reply)

    def _wait(self, channel: Channel, count: int, wait_ms: int) -> list[Entry]:
        stream, few = self._stream(channel), min(count, _FEW)
        with around("read"):
            reply: Any = self.client.redis.xreadgroup(
                self.group, self.name, {stream: ">"}, count=few, block=wait_ms
            )
        return [entry for rows in reply.values() for entry in entries_of(rows)]

    def _queue_acknowledgements(self, pipeline: Pipeline, channel: Channel, done: Sequence[str]) -> None:
        pipeline.xack(self._stream(channel), self.group, *done)
        attempted = self._attempted.intersection(done)
        if attempted:
            self._attempted -= attempted
            pipeline.hdel(self.client.keys.processing(channel), *attempted)

    def _readable(self, channel: Channel, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        stream, largest = self._stream(channel), self.client.settings.max_message_size_bytes
        messages, letters = [], []
        for entry in entries:
            if entry.delivery is Delivery.WITHHELD:
                letters.append(Letter(entry, crash_loop(entry)))
                continue
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

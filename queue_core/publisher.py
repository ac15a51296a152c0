"""Publishing: single messages and batches, bounded by size and by room in the queue.

    publisher = MessagePublisher(get_redis_client())
    message_id = publisher.publish_tutor_data({"tutor_id": "T001", "name": "John Smith"})
    report = publisher.publish_batch(QueueChannels.TUTORS, records)

A full queue refuses (``QueueFullError``) and nothing unprocessed is ever trimmed to make room. It is full
when a group has ``REDIS_QUEUE_MAXLEN`` messages waiting and pending. Processed ones that stand behind one
that is not cannot be trimmed; they do not count, until the stream is twice as long. Where Redis is full by
memory, processed ones go too, of this channel and then of the others (``making_room``).
When an answer does not come in time the same message, under the same id, is sent again
(``REDIS_RETRY_ON_TIMEOUT``): it may then stand in the stream twice, and takes effect once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient, retrying
from queue_core.errors import MessageTooLargeError, PublishError, QueueFullError, QueueUnavailableError
from queue_core.making_room import with_room
from queue_core.replication import run_and_wait
from queue_core.serializer import new_message_id, serialize

#: Messages, and bytes, that travel in one round trip.
CHUNK_MESSAGES = 500
CHUNK_BYTES = 4_194_304

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What became of one message of a batch.

    Attributes:
        index: its place in the batch, from 0.
        message_id: its id; None where it was refused before it had one.
        entry_id: its entry in the stream; None where it was refused.
        error: why it was refused; None where it was published.
    """

    index: int
    message_id: str | None
    entry_id: str | None
    error: PublishError | None


@dataclass(slots=True)
class PublishReport(Sequence[str | None]):
    """What became of each message of a batch; as a sequence, the message ids (None: refused)."""

    results: list[PublishResult] = field(default_factory=list)

    @property
    def published(self) -> int:
        """Messages that are in the stream now."""
        return sum(result.error is None for result in self.results)

    @property
    def refused(self) -> list[PublishResult]:
        """Those that are not, each with its error."""
        return [result for result in self.results if result.error is not None]

    @overload
    def __getitem__(self, index: int) -> str | None: ...

    @overload
    def __getitem__(self, index: slice) -> list[str | None]: ...

    def __getitem__(self, index: int | slice) -> str | list[str | None] | None:
        if isinstance(index, slice):
            return [_id_if_published(result) for result in self.results[index]]
        return _id_if_published(self.results[index])

    def __len__(self) -> int:
        return len(self.results)


def _id_if_published(result: PublishResult) -> str | None:
    return result.message_id if result.error is None else None


class BatchRefusedError(PublishError):
    """Some messages of a batch were refused; ``report`` says what became of each."""

    def __init__(self, report: PublishReport) -> None:
        first = report.refused[0]
        super().__init__(
            f"{len(report.refused)} of {len(report)} messages were refused, "
            f"{report.published} are published. The first refused is number {first.index}: {first.error}"
        )
        self.report = report


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Figures of a stream.

    Attributes:
        length: entries it holds, processed ones included.
        entries_added: entries ever added.
        first_entry_id: oldest entry held; None when empty.
        last_entry_id: newest id ever given; ``0-0`` when never used.
        groups: its consumer groups.
    """

    length: int
    entries_added: int
    first_entry_id: str | None
    last_entry_id: str
    groups: int


class MessagePublisher:
    """Puts messages into the streams of the channels."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._settings = client.settings

    def publish(
        self,
        channel: Channel | str,
        data: Mapping[str, object],
        *,
        metadata: Mapping[str, object] | None = None,
        ttl_seconds: float | None = None,
        message_id: str | None = None,
        published_at: datetime | None = None,
    ) -> str:
        """Publish one record and return its message id.

        Args:
            channel: a channel, its name or its key.
            data: the record; plain JSON values.
            metadata: what you say about it (source, priority, ...).
            ttl_seconds: expires unread after this long, instead of ``REDIS_MESSAGE_TTL_SECONDS``; 0 is never.
            message_id: the id it had, when it is published again; it then takes effect once.
            published_at: when it came to be, if not now; an older message never overwrites a newer row.

        Raises:
            InvalidMessageError: it would not read back as the same value.
            MessageTooLargeError: larger than ``REDIS_MAX_MESSAGE_SIZE_BYTES``.
            QueueFullError: ``REDIS_QUEUE_MAXLEN`` messages are not processed, or twice as many are kept.
            NotReplicatedError: it is published, but fewer than ``REDIS_WAIT_REPLICAS`` replicas have it.
            QueueUnavailableError: Redis is away.
        """
        encoded = self.encode(
            channel,
            data,
            metadata=metadata,
            ttl_seconds=ttl_seconds,
            message_id=message_id,
            published_at=published_at,
        )
        report = self.publish_envelopes(channel, [encoded])
        result = report.results[0]
        if result.error is not None:
            raise result.error
        assert result.message_id is not None  # noqa: S101 - a published message has an id
        return result.message_id

    def publish_batch(
        self,
        channel: Channel | str,
        records: Iterable[Mapping[str, object]],
        *,
        metadata: Mapping[str, object] | None = None,
        ttl_seconds: float | None = None,
        raise_if_refused: bool = True,
    ) -> PublishReport:
        """Publish many records, in order, a few hundred a round trip.

        Args:
            channel: a channel, its name or its key.
            records: the data of each message.
            metadata: the same for each.
            ttl_seconds: as for :meth:`publish`.
            raise_if_refused: False to only report the refused ones.

        Raises:
            BatchRefusedError: some were refused; the rest is published. Its ``report`` tells which.
            QueueUnavailableError: Redis is away; how many were published before is not known.
        """
        encoded = (self.encode(channel, data, metadata=metadata, ttl_seconds=ttl_seconds) for data in records)
        report = self.publish_envelopes(channel, encoded)
        if raise_if_refused and report.refused:
            raise BatchRefusedError(report)
        return report

    def publish_envelopes(
        self, channel: Channel | str, envelopes: Iterable[tuple[str | None, bytes | PublishError]]
    ) -> PublishReport:
        """Publish envelopes that are already encoded, each with its message id; errors are passed through."""
        found = QueueChannels.find(channel)
        report = PublishReport()
        for chunk in _chunks(envelopes):
            bodies = [body for _, body in chunk if isinstance(body, bytes)]
            entry_ids = iter(self._add(found, bodies) if bodies else [])
            for message_id, body in chunk:
                entry_id = next(entry_ids, None) if isinstance(body, bytes) else None
                error = (
                    body
                    if isinstance(body, PublishError)
                    else self._full(found)
                    if entry_id is None
                    else None
                )
                report.results.append(PublishResult(len(report), message_id, entry_id, error))
        return report

    def publish_tutor_data(self, data: Mapping[str, object], **options: Any) -> str:
        """:meth:`publish` to ``tutors``."""
        return self.publish(QueueChannels.TUTORS, data, **options)

    def publish_session_data(self, data: Mapping[str, object], **options: Any) -> str:
        """:meth:`publish` to ``sessions``."""
        return self.publish(QueueChannels.SESSIONS, data, **options)

    def publish_feedback(self, data: Mapping[str, object], **options: Any) -> str:
        """:meth:`publish` to ``feedback``."""
        return self.publish(QueueChannels.FEEDBACK, data, **options)

    def get_stream_length(self, channel: Channel | str) -> int:
        """Entries the stream holds, processed ones included."""
        with self._client.errors():
            return self._client.redis.xlen(self._stream(channel))

    def get_stream_info(self, channel: Channel | str) -> StreamInfo:
        """Figures of the stream; all zero while nothing was ever published."""
        stream = self._stream(channel)
        with self._client.errors():
            if not self._client.redis.exists(stream):
                return StreamInfo(0, 0, None, "0-0", 0)
            info: dict[str, Any] = self._client.redis.xinfo_stream(stream)
        first = info["first-entry"]
        return StreamInfo(
            length=info["length"],
            entries_added=info["entries-added"],
            first_entry_id=first[0].decode() if first else None,
            last_entry_id=info["last-generated-id"].decode(),
            groups=info["groups"],
        )

    def _stream(self, channel: Channel | str) -> str:
        return self._client.keys.stream(QueueChannels.find(channel))

    def encode(
        self,
        channel: Channel | str,
        data: Mapping[str, object],
        *,
        metadata: Mapping[str, object] | None = None,
        ttl_seconds: float | None = None,
        message_id: str | None = None,
        published_at: datetime | None = None,
    ) -> tuple[str, bytes | PublishError]:
        """The message id and the envelope of a record, or why it cannot have one; see :meth:`publish`."""
        identity = new_message_id() if message_id is None else message_id
        described = dict(metadata or {})
        if ttl_seconds is not None:
            described["ttl_seconds"] = ttl_seconds
        try:
            body = serialize(
                self._stream(channel),
                data,
                metadata=described,
                message_id=identity,
                published_at=published_at,
            )
        except PublishError as error:
            return identity, error
        if len(body) > self._settings.max_message_size_bytes:
            return identity, MessageTooLargeError(
                f"Message {identity} has {len(body)} bytes; REDIS_MAX_MESSAGE_SIZE_BYTES allows "
                f"{self._settings.max_message_size_bytes}."
            )
        return identity, body

    def _add(self, channel: Channel, bodies: list[bytes]) -> list[str]:
        sent = 0
        keys = [self._client.keys.stream(channel)]
        arguments: list[bytes | int] = [self._settings.queue_maxlen, *bodies]

        def add() -> list[bytes]:
            added: list[bytes] = (
                run_and_wait(self._client, "publish", keys, arguments)
                if self._settings.wait_replicas
                else self._client.run("publish", keys, arguments)
            )
            return added

        def send() -> list[bytes]:
            nonlocal sent
            sent += 1
            with self._client.errors():
                return with_room(self._client, channel, add)

        attempts = _ATTEMPTS if self._settings.retry_on_timeout else 1
        added = retrying(attempts, self._pause, send)
        if sent > 1 and len(added) < len(bodies):
            # The first time may have filled the queue, its answer lost: then nothing was refused.
            raise QueueUnavailableError(
                f"Queue {channel} became full while Redis did not answer in time: which of {len(bodies)} "
                "messages are published is not known. Publish again once they are drained: see 'tutormax "
                "status'."
            )
        return [entry_id.decode() for entry_id in added]

    def _pause(self, attempt: int) -> None:
        time.sleep(self._settings.retry_backoff_ms * 2 ** (attempt - 1) / 1000)

    def _full(self, channel: Channel) -> QueueFullError:
        return QueueFullError(
            f"Queue {channel} is full: it holds {self._settings.queue_maxlen} messages that are not "
            "processed (REDIS_QUEUE_MAXLEN), or twice as many that are kept because one of them is not. "
            "Publish again once they are drained: see 'tutormax status'."
        )


def _chunks(
    envelopes: Iterable[tuple[str | None, bytes | PublishError]],
) -> Iterator[list[tuple[str | None, bytes | PublishError]]]:
    chunk: list[tuple[str | None, bytes | PublishError]] = []
    size = 0
    for message_id, body in envelopes:
        size += len(body) if isinstance(body, bytes) else 0
        chunk.append((message_id, body))
        if len(chunk) >= CHUNK_MESSAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk

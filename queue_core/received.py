"""A message as a worker's handler receives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from queue_core.entry import Entry
from queue_core.outcomes import Message


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that was read and whose checksum holds.

    Attributes:
        id: the producer's id; the same after a retry, a second publish or a redrive. A handler whose effect
            must happen once keys it on this.
        entry_id: its entry in the stream, ``<ms>-<sequence>``.
        channel: key of the stream.
        published_at: the envelope's timestamp, in UTC.
        data: the record, as received.
        metadata: what the producer said about it (source, priority, ttl_seconds, ...).
        deliveries: how often it was delivered, this time included.
        failures: of these, how many ended in a failed attempt.
    """

    id: str
    entry_id: str
    channel: str
    published_at: datetime
    # Kept out of its repr: they hold what people wrote.
    data: dict[str, object] = field(repr=False)
    metadata: dict[str, object] = field(repr=False)
    deliveries: int
    failures: int


def received(entry: Entry, message: Message) -> ReceivedMessage:
    """What a handler is to know of an entry."""
    return ReceivedMessage(
        id=message.id,
        entry_id=entry.id,
        channel=message.channel,
        published_at=message.published_at,
        data=message.data,
        metadata=message.metadata,
        deliveries=entry.deliveries,
        failures=entry.failures,
    )

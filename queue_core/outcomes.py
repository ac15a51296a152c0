"""What can become of a message: the vocabulary that queue, ledger, logs and UI share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """Why a message became a dead letter."""

    MALFORMED = "malformed"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RETRIES_EXHAUSTED = "retries_exhausted"
    CRASH_LOOP = "crash_loop"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that can never be stored as it is.

    Attributes:
        reason: the class of the failure.
        errors: one line a fault, ``field: what is wrong``. Never holds a value of the message.
        message_id: the envelope's id, where it could be read.
        published_at: the envelope's timestamp (UTC), where it could be read.
    """

    reason: Reason
    errors: tuple[str, ...]
    message_id: str | None = None
    published_at: datetime | None = None


@dataclass(slots=True)
class Message:
    """A message whose envelope was read and whose checksum holds.

    Attributes:
        id: the producer's id; the same after a retry, a second publish or a redrive.
        published_at: the envelope's timestamp, in UTC.
        channel: key of the stream it was published to.
        data: the record, as received.
        metadata: what the producer said about it (source, priority, ttl_seconds, ...).
    """

    id: str
    published_at: datetime
    channel: str
    data: dict[str, object]
    metadata: dict[str, object]

    @property
    def message_id(self) -> str:
        """Its id, under the name that a rejection has for it."""
        return self.id


class Outcome(StrEnum):
    """The final states of a stream entry, as the ledger records them."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    DEAD_LETTERED = "dead_lettered"
    #: Deleted from the stream by somebody else before it was processed. Never silent.
    LOST = "lost"

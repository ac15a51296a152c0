"""What is published: every message follows from seed, publisher and number, so that nobody has to note it.

The verdict makes the same messages again and compares. Different publishers update the same records, with
times that go up on the whole and back in between: older messages arrive after newer ones, and some have
the very same time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from queue_core import Channel, QueueChannels
from queue_core.outcomes import Reason
from queue_core.serializer import serialize

#: Messages that a publisher sends together, to one channel.
BATCH = 500

_START = datetime(2026, 1, 1, tzinfo=UTC)
#: How far a message's time may lie behind that of its predecessors.
_LATENESS_MS = 3_000
_LARGE = 6_000
#: Largest envelope that the queue takes in a chaos run: small, so that one too large costs little.
MAX_BYTES = 4_096

_CHANNELS = (
    QueueChannels.SESSIONS,
    QueueChannels.TUTORS,
    QueueChannels.SESSIONS,
    QueueChannels.FEEDBACK,
)
#: The ways to be bad, and what must become of each.
_POISON = (
    ("truncated", Reason.MALFORMED),
    ("not UTF-8", Reason.MALFORMED),
    ("altered", Reason.CHECKSUM_MISMATCH),
    ("a rating of 9", Reason.INVALID),
    ("another channel", Reason.INVALID),
    ("large", Reason.TOO_LARGE),
)


@dataclass(frozen=True, slots=True)
class Planned:
    """One message that is published.

    Attributes:
        channel: where to.
        message_id: its id, which is also the text of the record (name, notes, comment).
        record_id: the record that it describes.
        published_at: the time in its envelope.
        poison: the way in which it is bad; None for a good one.
        reason: what its dead letter must say; None for a good one.
    """

    channel: Channel
    message_id: str
    record_id: str
    published_at: datetime
    poison: str | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All messages of all publishers.

    Attributes:
        seed: changes all of it.
        prefix: of the keys, which the envelopes name.
        records: how many records of a channel the messages describe.
        poison_share: of the messages, 0 to 1.
    """

    seed: int
    prefix: str
    records: int = 5_000
    poison_share: float = 0.01

    def batch(self, publisher: int, number: int) -> Iterator[Planned]:
        """The messages of a publisher's so-many-th batch."""
        channel = _CHANNELS[_chance("channel", self.seed, number) % len(_CHANNELS)]
        for place in range(number * BATCH, (number + 1) * BATCH):
            # The same record for all publishers, so that they overwrite each other.
            chance = _chance("record", self.seed, place)
            own = _chance("own", self.seed, publisher, place)
            moment = _START + timedelta(milliseconds=place - own % _LATENESS_MS * (own % 3 == 0))
            poison, reason = None, None
            if own / 2**32 < self.poison_share:
                poison, reason = _POISON[place % len(_POISON)]
            message_id = f"{self.seed}-{publisher}-{place}"
            record_id = f"R{chance % self.records:06d}"
            yield Planned(channel, message_id, record_id, moment, poison, reason)

    def body(self, planned: Planned) -> bytes:
        """The bytes that are published."""
        data, stream = record_of(planned), f"{self.prefix}:{planned.channel}"
        if planned.poison == "a rating of 9":
            data |= {"rating": 9, "engagement": 9}
        if planned.poison == "another channel":
            stream = "elsewhere:tutors"
        if planned.poison == "large":
            data |= {"padding": "x" * _LARGE}
        body = serialize(stream, data, message_id=planned.message_id, published_at=planned.published_at)
        if planned.poison == "truncated":
            return body[:-20]
        if planned.poison == "not UTF-8":
            return body.replace(planned.record_id.encode(), planned.record_id.encode() + b"\xff", 1)
        if planned.poison == "altered":
            return body.replace(planned.record_id.encode(), b"R-forged", 1)
        return body


#: The column that holds the message's id as a plain value of the record.
TEXT_COLUMN = {
    QueueChannels.TUTORS: "name",
    QueueChannels.SESSIONS: "notes",
    QueueChannels.FEEDBACK: "comment",
}


def record_of(planned: Planned) -> dict[str, Any]:
    """The data of a message."""
    channel = planned.channel
    data: dict[str, Any] = {
        channel.id_field: planned.record_id,
        TEXT_COLUMN[channel]: planned.message_id,
        "unlisted": planned.message_id,
    }
    if channel is not QueueChannels.TUTORS:
        data["tutor_id"] = "T1"
    if channel is QueueChannels.FEEDBACK:
        data["rating"] = 4.5
    return data


def _chance(*of: object) -> int:
    """A number below 2^32 that looks random and is always the same for the same things."""
    return int.from_bytes(hashlib.blake2b(repr(of).encode(), digest_size=4).digest())

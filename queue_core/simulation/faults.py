"""What goes wrong upstream: messages sent twice, and messages that can never be stored.

A bad message is a spoilt copy under an id of its own, beside the good one: what refers to the good one later
still finds it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from queue_core.serializer import serialize
from queue_core.simulation.tutoring import Event


class Fault(StrEnum):
    """What is wrong with a message."""

    #: Cut off, as by a producer that crashed; becomes a dead letter ``malformed``.
    NOT_JSON = "not_json"
    #: Changed after it was hashed: ``checksum_mismatch``.
    WRONG_CHECKSUM = "wrong_checksum"
    #: Of the wrong type, out of range or without its id: ``invalid``.
    SCHEMA_VIOLATION = "schema_violation"
    #: Over the limit: ``too_large``.
    TOO_LARGE = "too_large"
    #: The good message itself, once more, under its own id: takes effect once.
    DUPLICATE = "duplicate"


#: Those that become dead letters.
BAD = (Fault.NOT_JSON, Fault.WRONG_CHECKSUM, Fault.SCHEMA_VIOLATION, Fault.TOO_LARGE)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A message on its way, good where it has no fault."""

    event: Event
    fault: Fault | None = None


def with_faults(
    events: Iterable[Event], *, bad_share: float, duplicate_share: float, seed: int
) -> Iterator[Upstream]:
    """The events, with bad messages and duplicates among them.

    Args:
        events: what happens.
        bad_share: of all messages, how many are bad: 0 to less than 1.
        duplicate_share: of the good ones, how many are sent twice: 0 to 1.
        seed: other faults for each number, and for each first event; the events stay the same.

    Raises:
        ValueError: a share is out of its range.
    """
    if not (0 <= bad_share < 1 and 0 <= duplicate_share <= 1):
        raise ValueError("bad_share must be 0 to less than 1, duplicate_share 0 to 1")
    return _mixed(events, bad_share, duplicate_share, seed)


def _mixed(
    events: Iterable[Event], bad_share: float, duplicate_share: float, seed: int
) -> Iterator[Upstream]:
    chance = None
    for event in events:
        # Of the first event, so that bad messages too get other ids at another start.
        chance = chance or random.Random(f"faults {seed} {event.message_id}")  # noqa: S311
        copies = 2 if chance.random() < duplicate_share else 1
        for copy in range(copies):
            yield Upstream(event, Fault.DUPLICATE if copy else None)
            # Each is followed by another bad one with this probability: their share of all comes out right.
            while chance.random() < bad_share:
                message_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
                fault = chance.choice(BAD)
                yield Upstream(_spoilt(event, message_id, fault, chance), fault)


def _spoilt(event: Event, message_id: str, fault: Fault, chance: random.Random) -> Event:
    data = dict(event.data)
    if fault is Fault.SCHEMA_VIOLATION:
        spoilt: dict[str, object] = {event.channel.id_field: 17, "tutor_id": "", "rating": 6}
        known = [name for name in spoilt if name in data]
        name = chance.choice(known)
        data[name] = spoilt[name]
    return Event(event.at, event.channel, message_id, data)


def body_of(message: Upstream, stream: str, max_bytes: int) -> bytes:
    """The bytes of a message.

    Args:
        message: which.
        stream: the key of its channel's stream.
        max_bytes: what is just not too large.
    """
    event, fault = message.event, message.fault
    body = serialize(stream, event.data, message_id=event.message_id, metadata={"source": "simulation"})
    if fault is Fault.NOT_JSON:
        return body[: len(body) // 2]
    if fault is Fault.WRONG_CHECKSUM:
        return body.replace(b'"checksum":"', b'"checksum":"0')
    if fault is Fault.TOO_LARGE:
        return body + b" " * (max_bytes + 1 - len(body))
    return body

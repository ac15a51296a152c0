"""What is known of an entry that somebody holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


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


class Finish(IntEnum):
    """What became of an acknowledgement that looks at the owner, as ``scripts/finish.lua`` answers."""

    #: It was held, and is acknowledged.
    DONE = 1
    #: Nobody holds it: it is acknowledged already, or is a dead letter.
    SETTLED = 0
    #: Another consumer has taken it over.
    TAKEN_OVER = -1

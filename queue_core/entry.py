"""A stream entry as it was read: bytes, nothing interpreted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from queue_core.entry_id import EntryId

#: The one field of a well-formed entry.
BODY_FIELD = b"message"


class Delivery(Enum):
    """How an entry came to its consumer."""

    #: For the first time, straight from the stream.
    FIRST = "first"
    #: Once more, from another consumer or after a failed attempt.
    AGAIN = "again"
    #: Not at all: it was delivered too often without an outcome, and so stays on the server.
    WITHHELD = "withheld"
    #: Not at all: it is pending, but somebody deleted it from the stream.
    DELETED = "deleted"


class Entry(NamedTuple):
    """One entry of a channel's stream.

    Attributes:
        id: its id in the stream, ``<ms>-<sequence>``.
        fields: its fields and values, exactly as received; of a field given twice the last value.
        deliveries: how often it was delivered, this time included.
        failures: of these, how many ended in a failed attempt that is to be tried again.
        delivery: how it came.
    """

    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int = 1
    failures: int = 0
    delivery: Delivery = Delivery.FIRST

    @property
    def body(self) -> bytes | None:
        """The envelope's bytes; None where the entry has no field ``message``."""
        return self.fields.get(BODY_FIELD)

    @property
    def added_ms(self) -> int:
        """When it was added to the stream, ms since 1970, by the server's clock."""
        return int(self.id.partition("-")[0])

    @property
    def position(self) -> EntryId:
        """Its id as numbers, which order entries as the stream does."""
        return EntryId.parse(self.id)


class LeftEntry(NamedTuple):
    """An entry that was taken over and not begun: what is in it is still on the server.

    Attributes:
        id: its id in the stream.
        deliveries: how often it was delivered so far.
    """

    id: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What taking over gave; all of it now pending on this consumer, but for the lost ones.

    Attributes:
        new: entries that nobody has begun; their delivery is counted.
        left: entries that a consumer had and left, failed or died with. Their delivery counts when it
            is begun (:meth:`MessageConsumer.begin`), so that waiting for their turn is not held against
            them, and before it is received, so that one which ends whoever receives it is found out.
        lost: ids that are pending but were deleted from the stream. They stay pending until they are
            acknowledged: record the loss first.
        next_retry_seconds: until the next retry is due; None where none is scheduled.
    """

    new: list[Entry]
    left: list[LeftEntry]
    lost: list[str]
    next_retry_seconds: float | None = None


def entries_of(reply: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Entry]:
    """Entries, delivered for the first time, of a reply to XREADGROUP or XRANGE."""
    return [Entry(entry_id.decode(), fields) for entry_id, fields in reply]


def entries_of_script(
    reply: Iterable[tuple[bytes, Sequence[bytes]]], delivery: Delivery = Delivery.FIRST
) -> list[Entry]:
    """Entries, their delivery counted for the first time, of a script's reply."""
    return [Entry(entry_id.decode(), fields_of(flat), 1, 0, delivery) for entry_id, flat in reply]


def fields_of(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Fields and values out of the flat list in which a script gives them."""
    if len(flat) == 2:
        return {flat[0]: flat[1]}
    return dict(zip(flat[::2], flat[1::2], strict=True))

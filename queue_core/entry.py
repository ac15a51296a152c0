"""A stream entry as it was read: bytes, nothing interpreted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: The one field of a well-formed entry.
BODY_FIELD = b"message"


class Entry(NamedTuple):
    """One entry of a channel's stream.

    Attributes:
        id: its id in the stream, ``<ms>-<sequence>``.
        fields: its fields and values, exactly as received.
        deliveries: how often it was delivered: this time included, once it is begun.
        failures: of these, how many ended in a failed attempt that is to be tried again.
        deleted: it is pending, but somebody deleted it from the stream.
    """

    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int = 1
    failures: int = 0
    deleted: bool = False

    @property
    def body(self) -> bytes | None:
        """The envelope's bytes; None where the entry has no field ``message``."""
        return self.fields.get(BODY_FIELD)

    @property
    def added_ms(self) -> int:
        """When it was added to the stream, ms since 1970, by the server's clock."""
        return int(self.id.partition("-")[0])

    @property
    def position(self) -> tuple[int, int]:
        """Its id as numbers, which order entries as the stream does."""
        milliseconds, _, sequence = self.id.partition("-")
        return int(milliseconds), int(sequence)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What taking over gave; all of it now pending on this consumer, but for the lost ones.

    Attributes:
        new: entries that nobody has begun; their delivery is counted.
        left: entries that a consumer had and left, failed or died with. Their delivery counts when it
            is begun (:meth:`MessageConsumer.begin`), so that waiting for their turn is not held against them.
        lost: ids that are pending but were deleted from the stream. They stay pending until they are
            acknowledged: record the loss first.
    """

    new: list[Entry]
    left: list[Entry]
    lost: list[str]


def entries_of(reply: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Entry]:
    """Entries, delivered for the first time, of a reply to XREADGROUP or XRANGE."""
    return [Entry(entry_id.decode(), fields) for entry_id, fields in reply]

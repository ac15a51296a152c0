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
        deliveries: how often it was delivered, this time included.
    """

    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int = 1

    @property
    def body(self) -> bytes | None:
        """The envelope's bytes; None where the entry has no field ``message``."""
        return self.fields.get(BODY_FIELD)

    @property
    def added_ms(self) -> int:
        """When it was added to the stream, ms since 1970, by the server's clock."""
        return int(self.id.partition("-")[0])


@dataclass(frozen=True, slots=True)
class Claimed:
    """What taking over stale entries gave.

    Attributes:
        entries: now pending on this consumer.
        lost: ids that were pending but had been deleted from the stream unprocessed: a loss to report.
    """

    entries: list[Entry]
    lost: list[str]


def entries_of(reply: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Entry]:
    """Entries, delivered for the first time, of a reply to XREADGROUP or XRANGE."""
    return [Entry(entry_id.decode(), fields) for entry_id, fields in reply]

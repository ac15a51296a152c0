"""Entry ids as numbers: text does not order them, for ``9-0`` comes before ``10-0``."""

from __future__ import annotations

from typing import NamedTuple, Self

#: Largest number within a millisecond.
LARGEST_SEQUENCE = 2**64 - 1


class EntryId(NamedTuple):
    """An entry id; compares as the server compares.

    Attributes:
        ms: ms since 1970, by the server's clock.
        sequence: number within that millisecond.
    """

    ms: int
    sequence: int

    @classmethod
    def parse(cls, entry_id: str) -> Self:
        """Read ``<ms>-<sequence>``."""
        ms, _, sequence = entry_id.partition("-")
        return cls(int(ms), int(sequence))

    @property
    def following(self) -> EntryId:
        """The smallest id that is larger."""
        if self.sequence == LARGEST_SEQUENCE:
            return EntryId(self.ms + 1, 0)
        return EntryId(self.ms, self.sequence + 1)

    def __str__(self) -> str:
        return f"{self.ms}-{self.sequence}"


#: Before every entry; also the newest id of a stream that never had one.
ZERO = EntryId(0, 0)

"""How fast messages come and go: pure functions of two looks at a channel."""

from __future__ import annotations

from dataclasses import dataclass

from queue_core.monitor import ChannelSnapshot


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages a second between two looks; None where it cannot be told.

    Attributes:
        published: added to the stream, what was redriven included.
        processed: gone from the queue: acknowledged after they were stored, found to be duplicates or lost,
            or moved to the dead letters.
    """

    published: float | None
    processed: float | None


UNKNOWN = Rates(None, None)


def processed_ever(seen: ChannelSnapshot) -> int | None:
    """Entries that were ever added and are neither waiting nor pending; None where the server lost count."""
    return seen.entries_added - seen.waiting - seen.pending if seen.waiting_is_exact else None


def rates(before: ChannelSnapshot, after: ChannelSnapshot, seconds: float) -> Rates:
    """The rates between two looks at one channel.

    A count that went down (the stream was deleted, the group made anew) says nothing of a rate.

    Args:
        before: the earlier look.
        after: the later one.
        seconds: between them.
    """
    if seconds <= 0 or after.entries_added < before.entries_added:
        return UNKNOWN
    return Rates(
        _rate(before.entries_added, after.entries_added, seconds),
        _rate(processed_ever(before), processed_ever(after), seconds),
    )


def _rate(before: int | None, after: int | None, seconds: float) -> float | None:
    return None if before is None or after is None or after < before else (after - before) / seconds

"""The newest dead letters by reason, at a cost that is bounded however many and however large they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from queue_core.channels import QueueChannels
from queue_core.client import RedisClient
from queue_core.outcomes import Reason

#: Letters looked at, at most, and bytes of them after which the look ends.
MOST_LETTERS = 200
_MOST_BYTES = 4_194_304

#: In place of a channel or a reason that is none of ours: anybody may write a letter, and anything into it.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Of the letters looked at, those of one channel that failed for one reason.

    Attributes:
        channel: name of the channel, or ``other``.
        reason: one of ``outcomes.Reason``, or ``other``.
        count: how many.
        newest_id: the newest of them.
        newest_at: when that one was written, UTC.
    """

    channel: str
    reason: str
    count: int
    newest_id: str
    newest_at: datetime


@dataclass(frozen=True, slots=True)
class RecentLetters:
    """The newest dead letters.

    Attributes:
        total: all that are there, of every channel.
        looked_at: how many of them were looked at, the newest.
        newest_id: the newest of all; ``0-0`` where there is none.
        by_reason: those looked at, by channel and reason, the newest first.
    """

    total: int
    looked_at: int
    newest_id: str
    by_reason: tuple[ReasonCount, ...]


def recent_letters(client: RedisClient, most: int = MOST_LETTERS) -> RecentLetters:
    """Look at the newest letters; nothing of their messages leaves the server.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    with client.errors():
        total, found = client.run("recent_letters", [client.keys.dead_letter], [most, _MOST_BYTES])
    groups: dict[tuple[str, str], list[str]] = {}
    for letter_id, channel, reason in found:
        ours = (
            known_channel(channel.decode(errors="replace")),
            known_reason(reason.decode(errors="replace")),
        )
        groups.setdefault(ours, []).append(letter_id.decode())
    return RecentLetters(
        total=total,
        looked_at=len(found),
        newest_id=found[0][0].decode() if found else "0-0",
        by_reason=tuple(
            ReasonCount(channel, reason, len(ids), ids[0], _time_of(ids[0]))
            for (channel, reason), ids in groups.items()
        ),
    )


def known_channel(name: str) -> str:
    """The name, where it is one of our channels; else ``other``."""
    return name if any(name == one.name for one in QueueChannels.all()) else OTHER


def known_reason(reason: str) -> str:
    """The reason, where it is one of ``outcomes.Reason``; else ``other``."""
    return reason if reason in [one.value for one in Reason] else OTHER


def _time_of(letter_id: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(letter_id.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)

"""Moving entries that are given up to the dead letter stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.letter import Letter, write_letter


def bury(client: RedisClient, group: str, consumer: str, channel: Channel, letters: Sequence[Letter]) -> int:
    """Move pending entries to the dead letter stream, each atomically with its acknowledgement.

    Returns:
        How many were moved. An entry that is no longer pending (somebody else settled it), or that was
        moved before its group was made anew, is not: doing this twice leaves one letter.
    """
    keys = client.keys
    script_keys = [
        keys.stream(channel),
        keys.dead_letter,
        keys.dead_letter_counts,
        keys.retry(channel),
        keys.processing(channel),
        keys.buried(channel),
    ]
    moved = 0
    for letter in letters:
        fields = write_letter(letter, consumer, channel, datetime.now(UTC))
        args = [group, letter.entry.id, channel.name, *(part for pair in fields for part in pair)]
        moved += client.run("dead_letter", script_keys, args) is not None
    return moved

"""Moving entries that are given up to the dead letter stream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.entry import Delivery
from queue_core.letter import Letter, received_fields, write_letter
from queue_core.making_room import put_aside


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

    def move(arguments: Sequence[str | bytes | int]) -> Any:
        return put_aside(client, channel, "dead_letter", script_keys, arguments)

    moved = 0
    for letter in letters:
        about = write_letter(letter, consumer, channel, datetime.now(UTC))
        start = [group, letter.entry.id, channel.name]
        # What was received is copied on the server: every byte of it, and none travels once more.
        reply = move([*start, 0, *_flat(about)])
        if reply == b"send" and letter.entry.delivery is not Delivery.WITHHELD:
            received = received_fields(letter.entry)
            reply = move([*start, 1, *_flat(received), *_flat(about)])
        moved += reply not in (None, b"send")
    return moved


def _flat(pairs: Iterable[tuple[str | bytes, str | bytes]]) -> list[str | bytes]:
    return [part for pair in pairs for part in pair]

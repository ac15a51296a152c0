"""Dead letters: messages that could not be stored, kept with their exact bytes and the reason.

A letter is one entry of the stream ``<prefix>:dead_letter`` with the fields

    message        the bytes received (absent where the entry had no such field)
    field:<name>   any other field of the entry, as received
    fields         all other fields, where there are more than ``MOST_FIELDS`` of them: a JSON list of
                   [name, value], each in base64
    channel        name of the channel
    entry_id       its entry in the channel's stream
    message_id     the envelope's id, where it could be read
    reason         see ``outcomes.Reason``
    errors         JSON list of what was wrong; never a value of the message
    deliveries     how often it was delivered
    consumer       who gave it up
    failed_at      when, ISO 8601 in UTC
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from queue_core import strict_json
from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.entry import BODY_FIELD, Entry
from queue_core.outcomes import Rejection

#: Most other fields that are kept one by one: a script can pass on only some thousand values.
MOST_FIELDS = 1_000


@dataclass(frozen=True, slots=True)
class Letter:
    """An entry that is given up, and why."""

    entry: Entry
    rejection: Rejection


def bury(client: RedisClient, group: str, consumer: str, channel: Channel, letters: Sequence[Letter]) -> int:
    """Move pending entries to the dead letter stream, each atomically with its acknowledgement.

    Returns:
        How many were moved. An entry that is no longer pending (somebody else settled it) is not moved,
        so that doing this twice leaves one letter.
    """
    keys = client.keys
    script_keys = [
        keys.stream(channel),
        keys.dead_letter,
        keys.dead_letter_counts,
        keys.retry(channel),
        keys.processing(channel),
    ]
    moved = 0
    for letter in letters:
        fields = _fields(letter, consumer, channel, datetime.now(UTC))
        args = [group, letter.entry.id, channel.name, *(part for pair in fields for part in pair)]
        moved += client.run("dead_letter", script_keys, args) is not None
    return moved


def _fields(
    letter: Letter, consumer: str, channel: Channel, failed_at: datetime
) -> list[tuple[str | bytes, str | bytes]]:
    entry, rejection = letter.entry, letter.rejection
    others = [pair for pair in entry.fields.items() if pair[0] != BODY_FIELD]
    received: list[tuple[str | bytes, str | bytes]] = [(b"field:" + name, value) for name, value in others]
    if len(others) > MOST_FIELDS:
        encoded = [[b64encode(part).decode() for part in pair] for pair in others]
        received = [("fields", strict_json.dumps(encoded))]
    if entry.body is not None:
        received.append((BODY_FIELD, entry.body))
    return [
        *received,
        ("channel", channel.name),
        ("entry_id", entry.id),
        ("message_id", rejection.message_id or ""),
        ("reason", rejection.reason.value),
        ("errors", strict_json.dumps(list(rejection.errors))),
        ("deliveries", str(entry.deliveries)),
        ("consumer", consumer),
        ("failed_at", failed_at.isoformat()),
    ]

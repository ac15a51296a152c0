"""Finding a message's entries in a stream, which has no index of them: newest first, and bounded.

The server looks for a piece of the id in each message; only what has it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.entry import BODY_FIELD
from queue_core.serializer import deserialize

#: Entries and bytes of a page: some ms of the server's time.
_PAGE_ENTRIES = 500
_PAGE_BYTES = 4_194_304

#: What every producer's JSON writes as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")


@dataclass(frozen=True, slots=True)
class EntrySearch:
    """What a search found, and how far it went.

    Attributes:
        channel: the channel.
        entry_ids: the message's entries, oldest first.
        looked_at: entries that were looked at.
        back_to: when the oldest of these was added, UTC; None where the stream is empty.
        complete: whether these were all there are.
    """

    channel: Channel
    entry_ids: tuple[str, ...]
    looked_at: int
    back_to: datetime | None
    complete: bool


def find_entries(
    client: RedisClient,
    channel: Channel,
    message_id: str,
    *,
    most_entries: int,
    progress: Callable[[int], None] = lambda _: None,
) -> EntrySearch:
    """Look for the entries of a message.

    Args:
        client: the connection.
        channel: where to look.
        message_id: the envelope's id.
        most_entries: how many of the newest entries to look at.
        progress: called with the entries looked at, page by page.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    stream, needle = client.keys.stream(channel), _piece(message_id)
    start, looked, candidates, last = "+", 0, [], ""
    while looked < most_entries:
        most = min(_PAGE_ENTRIES, most_entries - looked)
        with client.errors():
            count, next_id, ids = client.run("find_message", [stream], [start, most, _PAGE_BYTES, needle])
        candidates += [entry_id.decode() for entry_id in ids]
        looked += count
        progress(count)
        last = next_id.decode()
        if not last:
            break
        start = f"({last}"
    if last and not _goes_on(client, stream, start):
        last = ""
    found = [one for one in candidates if _is_of(client, stream, one, message_id)]
    return EntrySearch(channel, tuple(reversed(found)), looked, _back_to(client, stream, last), not last)


def message_id_of(body: bytes | None) -> str | None:
    """The id in an envelope, where it can be read."""
    return deserialize(body).message_id


def _is_of(client: RedisClient, stream: str, entry_id: str, message_id: str) -> bool:
    with client.errors():
        found: Any = client.redis.xrange(stream, entry_id, entry_id)
    return any(message_id_of(fields.get(BODY_FIELD)) == message_id for _, fields in found)


def _goes_on(client: RedisClient, stream: str, start: str) -> bool:
    with client.errors():
        return bool(client.redis.xrevrange(stream, start, "-", count=1))


def _back_to(client: RedisClient, stream: str, last: str) -> datetime | None:
    if not last:
        with client.errors():
            oldest: Any = client.redis.xrange(stream, count=1)
        if not oldest:
            return None
        last = oldest[0][0].decode()
    return datetime.fromtimestamp(int(last.partition("-")[0]) / 1000, UTC)


def _piece(message_id: str) -> str:
    """The longest part of an id that looks the same however the JSON was written."""
    return max(_PLAIN.findall(message_id), key=len, default="")

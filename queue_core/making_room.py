"""Where Redis is full by memory: processed entries go, whatever their age, before anything is refused.

They are kept for tracing and replay only. What any group has not processed and dead letters stay: where
nothing else is left, publishing is refused, and an operator has to decide. An entry that failed is written to
its place nevertheless, a little beyond the limit: it would hold up all that could be drained and trimmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.errors import AccessDeniedError
from queue_core.memory import used_share

_T = TypeVar("_T")

#: About how many entries each turn may remove. Few at first, for what goes is missed in traces; more each
#: time, so that few turns suffice for a whole queue.
TURNS_ENTRIES = tuple(1_000 * 2**turn for turn in range(8))
#: Share of ``maxmemory`` up to which entries that failed are put aside. A quarter of 256 MB is twice what is
#: read at once: answers that are on their way to readers count as memory in use.
_MOST_SHARE = 1.25
#: No entry has a greater id.
_NEWEST = f"{2**64 - 1}-{2**64 - 1}"


def with_room(client: RedisClient, channel: Channel, add: Callable[[], _T]) -> _T:
    """Do what adds to Redis; where its memory is full, trim what is processed and do it again.

    Costs nothing while there is memory. A script that was refused for want of it has done nothing, so that
    it may be run again.

    Args:
        client: the connection.
        channel: the channel whose entries go first, before those of the others.
        add: runs the script.

    Raises:
        redis.exceptions.OutOfMemoryError: it is full of what must not go.
        redis.RedisError: as ``add`` does.
        QueueUnavailableError: Redis is away.
    """
    for entries in TURNS_ENTRIES:
        try:
            return add()
        except redis.exceptions.OutOfMemoryError:
            if not trim_any(client, channel, entries):
                raise
    return add()


def put_aside(
    client: RedisClient,
    channel: Channel,
    script: str,
    keys: Sequence[str],
    args: Sequence[str | bytes | int | float],
) -> Any:
    """Run a script that takes an entry which failed out of the way of the others.

    Where the memory is full and no room can be made the limit is exceeded, by a quarter at the most.

    Raises:
        redis.exceptions.OutOfMemoryError: it is exceeded by more already.
        redis.RedisError: as the script does.
        QueueUnavailableError: Redis is away.
    """
    try:
        return with_room(client, channel, lambda: client.run(script, keys, args))
    except redis.exceptions.OutOfMemoryError:
        if used_share(client) > _MOST_SHARE:
            raise
    return client.run(script, keys, args, beyond_memory=True)


def trim_any(client: RedisClient, first: Channel, entries: int) -> int:
    """Remove about so many processed entries of one channel, the first that has any.

    Returns:
        How many were removed; 0 where no channel has any at its beginning.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    for channel in (first, *(one for one in QueueChannels.all() if one != first)):
        if removed := trim_processed(client, channel, entries):
            return removed
    return 0


def trim_processed(client: RedisClient, channel: Channel, entries: int) -> int:
    """Remove about so many of a channel's oldest entries, up to the first that a group has not processed.

    Returns:
        How many were removed; 0 also where the user may not trim this channel.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    try:
        with client.errors():
            removed, _ = client.run("trim", [client.keys.stream(channel)], [_NEWEST, entries])
    except AccessDeniedError:
        return 0
    return int(removed)

"""Entries that a consumer holds for longer than it may, and who holds them: changes nothing."""

from __future__ import annotations

from collections import Counter

import redis

from queue_core.answers import answer_of
from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER, Channel
from queue_core.client import RedisClient

#: Entries looked at in one script: some ms of the server's time.
_PAGE = 1_000


def stale_holders(client: RedisClient, channel: Channel, min_idle_ms: int) -> Counter[str]:
    """Count what could be given back, by the consumer that holds it.

    Args:
        client: the connection.
        channel: the channel.
        min_idle_ms: least time since the entry's delivery; 0 for everything that is held.

    Returns:
        Entries by consumer. Entries given back already, waiting for their retry, or deleted are not counted.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    found: Counter[str] = Counter()
    keys, start = [client.keys.stream(channel), client.keys.retry(channel)], "-"
    while start:
        with client.errors():
            try:
                go_on, *pairs = client.run(
                    "stale_pending", keys, [CONSUMER_GROUP, RELEASED_CONSUMER, min_idle_ms, start, _PAGE]
                )
            except redis.ResponseError as error:
                if "NOGROUP" not in answer_of(error):
                    raise
                return Counter()  # without a group nothing is held
        for name, count in zip(pairs[::2], pairs[1::2], strict=True):
            found[name.decode(errors="replace")] += count
        start = go_on.decode()
    return found

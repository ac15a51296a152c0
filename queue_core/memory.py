"""How much memory a channel's stream takes, and the server as a whole, and how much of it is used up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from queue_core.channels import Channel
from queue_core.client import RedisClient

#: Blocks of a stream that the server weighs; from their mean it reckons the rest, whatever its length.
_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class QueueMemory:
    """Memory in use.

    Attributes:
        stream_bytes: by the channel's stream, its consumer groups included; 0 where there is no stream.
        server_bytes: by the whole server.
    """

    stream_bytes: int
    server_bytes: int


def memory_in_use(client: RedisClient, channel: Channel) -> QueueMemory:
    """Ask the server, at a cost that does not grow with what waits.

    Raises:
        AccessDeniedError: the user may not run MEMORY USAGE or INFO.
        QueueUnavailableError: Redis is away.
    """
    with client.errors():
        pipeline = client.pipeline()
        pipeline.memory_usage(client.keys.stream(channel), samples=_SAMPLES)
        pipeline.info("memory")
        stream_bytes, server = pipeline.execute()
    return QueueMemory(stream_bytes or 0, int(server["used_memory"]))


def used_share(client: RedisClient) -> float:
    """Memory in use as a share of ``maxmemory``: 1 is full, more is possible; 0 where there is no limit.

    Raises:
        AccessDeniedError: the user may not run INFO.
        QueueUnavailableError: Redis is away.
    """
    with client.errors():
        memory: dict[str, Any] = client.redis.info("memory")
    limit = int(memory["maxmemory"])
    return int(memory["used_memory"]) / limit if limit else 0.0

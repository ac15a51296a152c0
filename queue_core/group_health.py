"""Who reads a stream, and who seems to have stopped: changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from queue_core.answers import answer_of
from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER, Channel
from queue_core.client import RedisClient

_NOT_THERE = ("NOGROUP", "ERR no such key", "no such key")


@dataclass(frozen=True, slots=True)
class GroupConsumer:
    """A consumer of the pipeline's group.

    Attributes:
        name: its name; :data:`~queue_core.channels.RELEASED_CONSUMER` holds what was given back.
        pending: how many entries it holds.
        idle_seconds: since it was last heard of.
    """

    name: str
    pending: int
    idle_seconds: float


@dataclass(frozen=True, slots=True)
class StrayGroup:
    """A consumer group that is not the pipeline's; nothing that it has not processed is ever trimmed.

    Attributes:
        name: its name.
        pending: entries delivered to it and not acknowledged.
        waiting: entries it has not had; None where the server does not know.
    """

    name: str
    pending: int
    waiting: int | None


def consumers(client: RedisClient, channel: Channel) -> list[GroupConsumer]:
    """Every consumer of the group, those that hold most first, then those heard of last.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    stream = client.keys.stream(channel)
    rows = _rows(client, lambda: client.redis.xinfo_consumers(stream, CONSUMER_GROUP))
    found = [GroupConsumer(name_of(row["name"]), row["pending"], row["idle"] / 1000) for row in rows]
    return sorted(found, key=lambda one: (-one.pending, one.idle_seconds, one.name))


def holding_consumers(client: RedisClient, channel: Channel) -> list[GroupConsumer]:
    """The consumers that seem dead and hold entries; the next drain takes these over.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    limit_seconds = client.settings.worker_max_processing_time_seconds
    return [
        one
        for one in consumers(client, channel)
        if one.pending and one.idle_seconds > limit_seconds and one.name != RELEASED_CONSUMER
    ]


def holders(client: RedisClient, channel: Channel) -> list[str]:
    """Names of all consumers that hold entries, but for what was given back, at the cost of their number.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    stream = client.keys.stream(channel)
    rows = _rows(client, lambda: client.redis.xinfo_consumers(stream, CONSUMER_GROUP))
    names = [row["name"].decode(errors="replace") for row in rows if row["pending"]]
    return sorted(name for name in names if name != RELEASED_CONSUMER)


def stray_groups(client: RedisClient, channel: Channel) -> list[StrayGroup]:
    """Every group of the channel's stream other than the pipeline's.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    rows = _rows(client, lambda: client.redis.xinfo_groups(client.keys.stream(channel)))
    groups = [StrayGroup(name_of(row["name"]), row["pending"], row["lag"]) for row in rows]
    return [group for group in groups if group.name != CONSUMER_GROUP]


def name_of(raw: bytes) -> str:
    """A consumer's or a group's name, which others give and may be any bytes; escaped where it is no text."""
    return raw.decode(errors="backslashreplace")


def _rows(client: RedisClient, ask: Callable[[], Any]) -> list[dict[str, Any]]:
    with client.errors():
        try:
            rows: list[dict[str, Any]] = ask()
        except redis.ResponseError as error:
            if not answer_of(error).startswith(_NOT_THERE):
                raise
            return []
    return rows

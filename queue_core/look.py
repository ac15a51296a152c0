"""One look at everything: the server, every channel, who reads it, and the newest dead letters.

    match look(client):
        case Look(channels=channels): ...
        case Away(error=error): ...

Costs a fixed number of round trips, whatever waits, and changes nothing. A server that is away is something
to show, not an end: it is a value.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from queue_core.channels import QueueChannels
from queue_core.client import Health, RedisClient
from queue_core.errors import AccessDeniedError, QueueError
from queue_core.group_health import GroupConsumer, consumers
from queue_core.monitor import ChannelSnapshot, snapshot
from queue_core.recent_letters import RecentLetters, recent_letters


@dataclass(frozen=True, slots=True)
class ChannelLook:
    """A channel: its figures, and the consumers of its group, those that hold most first."""

    figures: ChannelSnapshot
    consumers: tuple[GroupConsumer, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen.

    Attributes:
        taken_at: when, UTC.
        clock_seconds: the same instant on a clock that never jumps, to tell how long two are apart.
        address: host, port and database.
        health: what the server says of itself.
        channels: every channel, in the order of ``QueueChannels``.
        letters: the newest dead letters.
    """

    taken_at: datetime
    clock_seconds: float
    address: str
    health: Health
    channels: tuple[ChannelLook, ...]
    letters: RecentLetters


@dataclass(frozen=True, slots=True)
class Away:
    """Redis could not be asked.

    Attributes:
        taken_at: when, UTC.
        address: host, port and database.
        error: why, in one line.
        denied: whether it is there and refused the user, the password or a command.
    """

    taken_at: datetime
    address: str
    error: str
    denied: bool


def look(
    client: RedisClient, *, now: datetime | None = None, clock: Callable[[], float] = time.monotonic
) -> Look | Away:
    """Look at everything.

    Args:
        client: the connection.
        now: instant to which ages are given; the present when not given.
        clock: seconds on a clock that never jumps.
    """
    taken_at = now or datetime.now(UTC)
    try:
        health = client.health_check()
        letters = recent_letters(client)
        clock_seconds = clock()
        channels = tuple(
            ChannelLook(snapshot(client, channel, now=taken_at), tuple(consumers(client, channel)))
            for channel in QueueChannels.all()
        )
    except QueueError as error:
        return Away(taken_at, client.address, str(error), isinstance(error, AccessDeniedError))
    return Look(taken_at, clock_seconds, client.address, health, channels, letters)

"""Housekeeping of a channel's keys: what is processed and old goes, what nobody needs is swept up.

    report = maintain(client, QueueChannels.TUTORS, datetime.now(UTC))

Each step is bounded and atomic, so that Redis answers others in between and that it may run beside
publishers and drains. Nothing that any group has not processed is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER, Channel
from queue_core.client import RedisClient
from queue_core.group_health import (
    GroupConsumer,
    StrayGroup,
    holding_consumers,
    name_of,
    stray_groups,
)
from queue_core.making_room import trim_processed
from queue_core.memory import used_share

#: Entries that one step removes, or looks at, at about the most.
_STEP_ENTRIES = 1_000
#: Share of ``maxmemory`` above which processed entries go whatever their age.
_SCARCE_MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What was done for one channel.

    Attributes:
        channel: its name.
        trimmed: processed entries removed, for their age or for their memory.
        trimmed_for_memory: of these, those that were not old, and went since Redis was nearly full.
        retries_forgotten: scheduled retries of entries that are no longer pending.
        attempts_forgotten: noted attempts of entries that are no longer pending.
        consumers_removed: consumers that were not heard of and held nothing.
        holding: consumers not heard of that hold entries; left as they are, a drain takes these over.
        stray_groups: groups other than the pipeline's; left as they are.
    """

    channel: str
    trimmed: int
    trimmed_for_memory: int
    retries_forgotten: int
    attempts_forgotten: int
    consumers_removed: tuple[str, ...]
    holding: tuple[GroupConsumer, ...]
    stray_groups: tuple[StrayGroup, ...]


def maintain(client: RedisClient, channel: Channel, now: datetime) -> MaintenanceReport:
    """Trim a channel's stream by age and sweep its other keys.

    Entries go that are older than ``REDIS_MESSAGE_TTL_SECONDS`` (0: none) and processed by every group;
    consumers that hold nothing and were silent for ``REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS``. While more
    than 80 % of Redis's ``maxmemory`` is in use processed entries go whatever their age, the oldest first.

    Args:
        client: the connection.
        channel: the channel.
        now: instant from which ages are counted.

    Raises:
        QueueUnavailableError: Redis is away; what was done until then stays done.
    """
    with client.errors():
        old = _trim(client, channel, now)
        for_memory = _make_room(client, channel)
        retries, attempts = _forget_settled(client, channel)
        removed = _remove_dead_consumers(client, channel)
    return MaintenanceReport(
        channel=channel.name,
        trimmed=old + for_memory,
        trimmed_for_memory=for_memory,
        retries_forgotten=retries,
        attempts_forgotten=attempts,
        consumers_removed=removed,
        holding=tuple(holding_consumers(client, channel)),
        stray_groups=tuple(stray_groups(client, channel)),
    )


def _trim(client: RedisClient, channel: Channel, now: datetime) -> int:
    ttl_seconds = client.settings.message_ttl_seconds
    oldest_ms = int((now.timestamp() - ttl_seconds) * 1000)
    if ttl_seconds == 0 or oldest_ms <= 0:
        return 0
    total, finished = 0, False
    while not finished:
        removed, finished = client.run(
            "trim", [client.keys.stream(channel)], [f"{oldest_ms}-0", _STEP_ENTRIES]
        )
        total += removed
    return total


def _make_room(client: RedisClient, channel: Channel) -> int:
    total = 0
    while used_share(client) > _SCARCE_MEMORY:
        removed = trim_processed(client, channel, _STEP_ENTRIES)
        if not removed:
            break
        total += removed
    return total


def _forget_settled(client: RedisClient, channel: Channel) -> tuple[int, int]:
    names = client.keys
    keys = [
        names.stream(channel),
        names.retry(channel),
        names.processing(channel),
        names.buried(channel),
    ]
    cursors: list[bytes] = [b"0", b"0"]
    retries = attempts = 0
    while cursors != [b"done", b"done"]:
        *cursors, forgotten, noted = client.run(
            "forget_settled", keys, [CONSUMER_GROUP, *cursors, _STEP_ENTRIES]
        )
        retries += int(forgotten)
        attempts += int(noted)
    return retries, attempts


def _remove_dead_consumers(client: RedisClient, channel: Channel) -> tuple[str, ...]:
    silent_ms = client.settings.worker_max_processing_time_ms
    names = client.run(
        "remove_dead_consumers",
        [client.keys.stream(channel)],
        [CONSUMER_GROUP, silent_ms, RELEASED_CONSUMER],
    )
    return tuple(name_of(name) for name in names)

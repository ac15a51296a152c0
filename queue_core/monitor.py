"""One look at a channel: what sensors, checks, commands and the terminal show.

A snapshot is one script call, changes nothing, and costs the same whatever the number of messages waiting.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from queue_core.channels import CONSUMER_GROUP, Channel, QueueChannels
from queue_core.client import RedisClient

#: How far a backlog is counted where the server does not know it (after an XDEL from outside).
_COUNT_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """Figures of one channel at one instant.

    Attributes:
        channel: its name.
        length: entries in the stream, processed ones included.
        entries_added: entries ever added.
        waiting: entries that no consumer has had yet.
        waiting_is_exact: False where the server lost count; ``waiting`` is then the least it can be.
            Redis 7.0 does not notice: there, entries deleted from outside may count until all are read.
        pending: entries delivered and not acknowledged, those scheduled for retry included.
        scheduled: entries that wait for their retry.
        dead: dead letters of this channel.
        oldest_unprocessed_age_seconds: age of the oldest entry waiting or pending; None when there is none.
        claimable: whether something is pending for longer than a consumer may take.
        next_retry_in_seconds: until the next retry is due, below 0 when it is; None when there is none.
        group_exists: whether the consumer group is there.
    """

    channel: str
    length: int
    entries_added: int
    waiting: int
    waiting_is_exact: bool
    pending: int
    scheduled: int
    dead: int
    oldest_unprocessed_age_seconds: float | None
    claimable: bool
    next_retry_in_seconds: float | None
    group_exists: bool


def snapshot(client: RedisClient, channel: Channel | str, *, now: datetime | None = None) -> ChannelSnapshot:
    """Look at one channel.

    Args:
        client: the connection.
        channel: a channel, its name or its key.
        now: instant to which ages are given; the present when not given.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    found, keys = QueueChannels.find(channel), client.keys
    now_ms = (now or datetime.now(UTC)).timestamp() * 1000
    stale_ms = client.settings.worker_max_processing_time_ms
    with client.errors():
        (
            length,
            added,
            waiting,
            exact,
            pending,
            oldest,
            upcoming,
            claimable,
            scheduled,
            due,
            dead,
            exists,
        ) = client.run(
            "snapshot",
            [keys.stream(found), keys.retry(found), keys.dead_letter, keys.dead_letter_counts],
            [CONSUMER_GROUP, found.name, stale_ms, _COUNT_LIMIT],
        )
    added_ms = [int(entry_id.partition(b"-")[0]) for entry_id in (oldest, upcoming) if entry_id]
    return ChannelSnapshot(
        channel=found.name,
        length=length,
        entries_added=added,
        waiting=waiting,
        waiting_is_exact=bool(exact),
        pending=pending,
        scheduled=scheduled,
        dead=dead,
        oldest_unprocessed_age_seconds=max(0.0, (now_ms - min(added_ms)) / 1000) if added_ms else None,
        claimable=bool(claimable),
        next_retry_in_seconds=(float(due) - now_ms) / 1000 if due else None,
        group_exists=bool(exists),
    )

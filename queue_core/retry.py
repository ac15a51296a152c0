"""Another attempt, later: ``REDIS_RETRY_BACKOFF_MS`` x 2^(n-1) with jitter, ``REDIS_MAX_RETRIES`` times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from queue_core import strict_json
from queue_core.channels import RELEASED_CONSUMER, Channel
from queue_core.group import ConsumerGroup
from queue_core.making_room import put_aside

#: Longest time until a retry, and the range of the factor that spreads retries which failed together.
LONGEST_RETRY_DELAY_MS = 60_000
_JITTER = (0.75, 1.25)
#: Answer of ``scripts/retry.lua`` where nothing is left to try.
_USED_UP = -1


@dataclass(frozen=True, slots=True)
class PlannedRetry:
    """What becomes of an entry after a failed attempt.

    Attributes:
        delay_seconds: until it is due again; None where it will not be: its retries are used up, or the
            consumer no longer held it.
        used_up: its retries are used up. It is still pending on the consumer, which has to give it up.
    """

    delay_seconds: float | None
    used_up: bool


def plan_retry(
    group: ConsumerGroup, channel: Channel, consumer: str, entry_id: str, error: str, *, rng: Random
) -> PlannedRetry:
    """Note a failed attempt, and schedule the next one if there is one.

    Args:
        group: the consumer group.
        channel: the channel.
        consumer: the consumer that failed, and holds the entry.
        entry_id: the entry.
        error: what went wrong; kept and shown, so never a value of the message.
        rng: spreads retries.

    Raises:
        QueueUnavailableError: Redis is away; the entry stays as it was.
    """
    settings = group.client.settings
    attempt = {"at": datetime.now(UTC).isoformat(), "consumer": consumer, "error": error}
    keys = group.entry_keys(channel)
    arguments: list[str | bytes | int | float] = [
        group.name,
        consumer,
        RELEASED_CONSUMER,
        entry_id,
        strict_json.dumps(attempt),
        settings.max_retries,
        settings.retry_backoff_ms,
        LONGEST_RETRY_DELAY_MS,
        rng.uniform(*_JITTER),
    ]

    delay_ms = group.attempt(channel, lambda: put_aside(group.client, channel, "retry", keys, arguments))
    return PlannedRetry(delay_ms / 1000 if delay_ms >= 0 else None, delay_ms == _USED_UP)

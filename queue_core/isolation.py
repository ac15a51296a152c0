"""When a message counts as one that ends the process which takes it."""

from __future__ import annotations

from queue_core.config import RedisSettings
from queue_core.entry import Entry
from queue_core.outcomes import Reason, Rejection

#: An entry is delivered among others, and then alone at least once, before it counts as deadly.
LEAST_DELIVERIES = 2


def most_deliveries(settings: RedisSettings) -> int:
    """How often an entry may be delivered without an outcome: ``REDIS_MAX_RETRIES`` + 1, at least 2."""
    return max(LEAST_DELIVERIES, settings.max_retries + 1)


def ended_without_outcome(entry: Entry) -> int:
    """How many of its earlier deliveries ended neither in an outcome nor in a failed attempt."""
    return entry.deliveries - 1 - entry.failures


def crash_loop(entry: Entry) -> Rejection:
    """Why an entry is quarantined. It is not read, not even for its message id: that may be what kills."""
    ended = ended_without_outcome(entry)
    return Rejection(
        Reason.CRASH_LOOP, (f"message: was delivered {ended} times, and each time its process ended",)
    )

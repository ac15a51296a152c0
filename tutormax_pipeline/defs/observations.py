"""The observation of a queue: numbers for plots. Never a value of a message."""

import dagster as dg

from queue_core import RedisClient
from queue_core.channels import Channel
from queue_core.errors import AccessDeniedError
from queue_core.memory import memory_in_use
from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.defs.assets import queue_key
from tutormax_pipeline.observation import Observation


def observation_of(
    client: RedisClient, channel: Channel, seen: ChannelSnapshot, observation: Observation
) -> dg.AssetObservation:
    """The event that is kept of a look at a channel.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    return dg.AssetObservation(
        queue_key(channel),
        metadata={
            "waiting": seen.waiting,
            "pending": seen.pending,
            "scheduled_for_retry": seen.scheduled,
            "dead_letters": seen.dead,
            "oldest_unprocessed_age_seconds": round(seen.oldest_unprocessed_age_seconds or 0.0, 1),
            "entries_added": seen.entries_added,
            "added_per_minute": round(observation.added_per_minute, 1),
            "settled_per_minute": round(observation.settled_per_minute, 1),
            **_memory(client, channel),
        },
    )


def _memory(client: RedisClient, channel: Channel) -> dict[str, int]:
    try:
        found = memory_in_use(client, channel)
    except AccessDeniedError:
        # A user without the right to ask is no reason not to drain.
        return {}
    return {"stream_memory_bytes": found.stream_bytes, "server_memory_bytes": found.server_bytes}

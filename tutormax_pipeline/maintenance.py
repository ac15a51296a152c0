"""Maintenance of queues and ledger together, free of Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from queue_core.census import take_census
from queue_core.channels import QueueChannels
from queue_core.client import RedisClient
from queue_core.entry_id import ZERO
from queue_core.maintenance import MaintenanceReport, maintain
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.prune import prune


@dataclass(frozen=True, slots=True)
class ChannelMaintenance:
    """What was done for one channel.

    Attributes:
        queue: in its stream and the keys beside it.
        pruned: rows removed from the ledger, their number kept.
    """

    queue: MaintenanceReport
    pruned: int


def maintain_all(
    client: RedisClient, store: Store, retention_days: int, now: datetime
) -> list[ChannelMaintenance]:
    """Maintain every channel, then let the database learn anew how its tables are filled.

    Args:
        client: the queue.
        store: the ledger.
        retention_days: age at which ledger rows are pruned; 0: never.
        now: the present, UTC.

    Raises:
        QueueUnavailableError: Redis is away.
        StoreUnavailableError: the database is away.
    """
    done = []
    for channel in QueueChannels.all():
        report, pruned = maintain(client, channel, now), 0
        if retention_days:
            oldest = take_census(client, channel, ZERO).oldest
            recorded_before = now - timedelta(days=retention_days)
            pruned = prune(store, channel, recorded_before=recorded_before, oldest=oldest).total()
        done.append(ChannelMaintenance(report, pruned))
    store.refresh_statistics()
    return done

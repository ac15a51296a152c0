"""Recording entries that somebody deleted from their stream before they were processed."""

from __future__ import annotations

from collections.abc import Sequence

from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.consumer import MessageConsumer
from queue_core.entry import Delivery, Entry
from tutormax_pipeline.store import Arrival, Store


def record_losses(
    client: RedisClient, store: Store, channel: Channel, entry_ids: Sequence[str], run_id: str
) -> None:
    """Give entries that are pending and deleted their final state: lost. Doing it twice changes nothing.

    Raises:
        StoreUnavailableError: nothing was recorded.
        QueueUnavailableError: they are recorded, and still pending.
    """
    lost = [Arrival(Entry(entry_id, {}, delivery=Delivery.DELETED), None, None) for entry_id in entry_ids]
    store.write(channel, lost, run_id)
    MessageConsumer(client).acknowledge(channel, *entry_ids)

"""What a worker has in hand, and keeping it from being taken over for as long as it does."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.group import ConsumerGroup


class Lease:
    """The entries that a consumer received or took over, and has no outcome of yet; from any thread.

    An entry is held for as long as it is renewed at least every
    ``REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS``. It is never stolen back: what another consumer has taken
    over is the other's.
    """

    def __init__(self, consumer: MessageConsumer) -> None:
        self._consumer = consumer
        self._group = ConsumerGroup(consumer.client, consumer.group)
        self._lock = threading.Lock()
        self._held: dict[Channel, set[str]] = {}

    def take(self, channel: Channel, entry_ids: Iterable[str]) -> None:
        """Note what was received."""
        with self._lock:
            self._held.setdefault(channel, set()).update(entry_ids)

    def drop(self, channel: Channel, entry_ids: Iterable[str]) -> None:
        """Note what has its outcome; before the outcome is told, so that it is not missed afterwards."""
        with self._lock:
            self._held.get(channel, set()).difference_update(entry_ids)

    def holds(self, channel: Channel, entry_id: str) -> bool:
        """Whether it is in hand, as far as was seen at the last renewal."""
        with self._lock:
            return entry_id in self._held.get(channel, ())

    def held(self) -> dict[Channel, set[str]]:
        """All that is in hand."""
        with self._lock:
            return {channel: set(entry_ids) for channel, entry_ids in self._held.items() if entry_ids}

    def renew(self) -> dict[Channel, list[str]]:
        """Tell the server that all of it is still in hand; no delivery is counted.

        Returns:
            What others have taken over, by channel; it is no longer in hand.

        Raises:
            QueueUnavailableError: Redis is away; it is to be tried again.
        """
        taken_over = {}
        for channel, entry_ids in self.held().items():
            stream = self._consumer.client.keys.stream(channel)
            gone = self._group.run("renew", channel, [stream], [self._consumer.name, *entry_ids])
            with self._lock:
                # Without those that got their outcome in the meantime.
                missed = self._held[channel].intersection(one.decode() for one in gone)
                self._held[channel] -= missed
            if missed:
                taken_over[channel] = sorted(missed)
        return taken_over

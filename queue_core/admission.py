"""Deciding, of one entry, whether it is a message to be processed or can never be one."""

from __future__ import annotations

import time
from collections.abc import Callable

from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.entry import Delivery, Entry
from queue_core.isolation import crash_loop, ended_without_outcome, most_deliveries
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.serializer import deserialize


class Admission:
    """Crash loop, envelope, time to live: in this order, for the entries of one channel.

    Args:
        client: its settings hold the bounds.
        channel: the channel.
        clock: seconds since 1970.
    """

    def __init__(
        self, client: RedisClient, channel: Channel, *, clock: Callable[[], float] = time.time
    ) -> None:
        settings = client.settings
        self._stream = client.keys.stream(channel)
        self._max_bytes = settings.max_message_size_bytes
        self._ttl_seconds = settings.message_ttl_seconds
        self._most_deliveries = most_deliveries(settings)
        self._clock = clock

    def __call__(self, entry: Entry, *, received_at: float | None = None) -> Message | Rejection:
        """Decode and verify an entry that is still in the stream; never raises for what it holds.

        Args:
            entry: the entry.
            received_at: when it was received, in seconds since 1970; now when not given.
        """
        first = entry.delivery is Delivery.FIRST
        if not first and self._is_deadly(entry):
            return crash_loop(entry)
        message = deserialize(entry.body, channel=self._stream, max_bytes=self._max_bytes)
        # What was taken in hand once does not expire.
        if isinstance(message, Message) and first and self._expired(entry, message, received_at):
            words = ("message: outlived its time to live unread",)
            return Rejection(Reason.EXPIRED, words, message.id, message.published_at)
        return message

    def _is_deadly(self, entry: Entry) -> bool:
        return entry.delivery is Delivery.WITHHELD or ended_without_outcome(entry) >= self._most_deliveries

    def _expired(self, entry: Entry, message: Message, received_at: float | None) -> bool:
        # Counted from the entry's arrival in the stream, so that a redriven letter has its time anew.
        ttl_seconds = message.metadata.get("ttl_seconds") if message.metadata else None
        if not isinstance(ttl_seconds, (int, float)) or isinstance(ttl_seconds, bool):
            ttl_seconds = self._ttl_seconds
        read_at = self._clock() if received_at is None else received_at
        return ttl_seconds > 0 and read_at * 1000 - entry.added_ms > ttl_seconds * 1000

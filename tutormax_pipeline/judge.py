"""Deciding, of one entry, whether it is a record or can never be one."""

from __future__ import annotations

import time

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Entry
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.serializer import deserialize
from tutormax_pipeline.records import record_class, validate
from tutormax_pipeline.store import Arrival

#: An entry is delivered among others, and then alone at least once, before it counts as deadly.
_LEAST_DELIVERIES = 2


class Judge:
    """Crash loop, envelope, time to live, record: in this order, for the entries of one channel."""

    def __init__(self, consumer: MessageConsumer, channel: Channel) -> None:
        settings = consumer.client.settings
        self._contract = record_class(channel)
        self._stream = consumer.client.keys.stream(channel)
        self._max_bytes = settings.max_message_size_bytes
        self._ttl_seconds = settings.message_ttl_seconds
        self._most_deliveries = max(_LEAST_DELIVERIES, settings.max_retries + 1)

    def __call__(self, entry: Entry) -> Arrival:
        """Decode, verify and validate; never raises for what a message holds."""
        if entry.deleted:
            return Arrival(entry, None, None)
        if entry.deliveries > _LEAST_DELIVERIES and self._is_deadly(entry):
            return Arrival(entry, None, None, self._crash_loop(entry))
        message = deserialize(entry.body, channel=self._stream, max_bytes=self._max_bytes)
        if isinstance(message, Rejection):
            return Arrival(entry, None, None, message)
        if self._expired(entry, message):
            words = ("message: outlived its time to live unread",)
            rejection = Rejection(Reason.EXPIRED, words, message.id, message.published_at)
            return Arrival(entry, None, None, rejection)
        record = validate(self._contract, message)
        if isinstance(record, Rejection):
            return Arrival(entry, None, None, record)
        return Arrival(entry, message, record)

    def _is_deadly(self, entry: Entry) -> bool:
        """Whether its earlier deliveries, those with a failed attempt left out, ended without an outcome."""
        return entry.deliveries - 1 - entry.failures >= self._most_deliveries

    def _crash_loop(self, entry: Entry) -> Rejection:
        # Not read once more, not even for its message id: that may be what kills.
        ended = entry.deliveries - 1 - entry.failures
        return Rejection(
            Reason.CRASH_LOOP, (f"message: was delivered {ended} times, and each time its process ended",)
        )

    def _expired(self, entry: Entry, message: Message) -> bool:
        # Counted from the entry's arrival in the stream, so that a redriven letter has its time anew;
        # and only at the first delivery: what was taken in hand does not expire.
        if entry.deliveries > 1:
            return False
        ttl_seconds = message.metadata.get("ttl_seconds") if message.metadata else None
        if not isinstance(ttl_seconds, (int, float)) or isinstance(ttl_seconds, bool):
            ttl_seconds = self._ttl_seconds
        return ttl_seconds > 0 and time.time() * 1000 - entry.added_ms > ttl_seconds * 1000

"""Deciding, of one entry, whether it is a record or can never be one."""

from __future__ import annotations

import time

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Delivery, Entry
from queue_core.isolation import crash_loop, ended_without_outcome, most_deliveries
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.serializer import deserialize
from tutormax_pipeline.records import record_class, validate
from tutormax_pipeline.store import Arrival


class Judge:
    """Crash loop, envelope, time to live, record: in this order, for the entries of one channel."""

    def __init__(self, consumer: MessageConsumer, channel: Channel) -> None:
        settings = consumer.client.settings
        self._contract = record_class(channel)
        self._stream = consumer.client.keys.stream(channel)
        self._max_bytes = settings.max_message_size_bytes
        self._ttl_seconds = settings.message_ttl_seconds
        self._most_deliveries = most_deliveries(settings)

    def __call__(self, entry: Entry) -> Arrival:
        """Decode, verify and validate; never raises for what a message holds."""
        first = entry.delivery is Delivery.FIRST
        if not first and (unread := self._settled_unread(entry)):
            return unread
        message = deserialize(entry.body, channel=self._stream, max_bytes=self._max_bytes)
        if isinstance(message, Rejection):
            return Arrival(entry, None, None, message)
        # What was taken in hand once does not expire.
        if first and self._expired(entry, message):
            words = ("message: outlived its time to live unread",)
            rejection = Rejection(Reason.EXPIRED, words, message.id, message.published_at)
            return Arrival(entry, None, None, rejection)
        record = validate(self._contract, message)
        if isinstance(record, Rejection):
            return Arrival(entry, None, None, record)
        return Arrival(entry, message, record)

    def _settled_unread(self, entry: Entry) -> Arrival | None:
        if entry.delivery is Delivery.DELETED:
            return Arrival(entry, None, None)
        if entry.delivery is Delivery.WITHHELD or ended_without_outcome(entry) >= self._most_deliveries:
            return Arrival(entry, None, None, crash_loop(entry))
        return None

    def _expired(self, entry: Entry, message: Message) -> bool:
        # Counted from the entry's arrival in the stream, so that a redriven letter has its time anew.
        ttl_seconds = message.metadata.get("ttl_seconds") if message.metadata else None
        if not isinstance(ttl_seconds, (int, float)) or isinstance(ttl_seconds, bool):
            ttl_seconds = self._ttl_seconds
        return ttl_seconds > 0 and time.time() * 1000 - entry.added_ms > ttl_seconds * 1000

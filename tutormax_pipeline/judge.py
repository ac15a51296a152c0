"""Deciding, of one entry, whether it is a record or can never be one."""

from __future__ import annotations

from queue_core.admission import Admission
from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Delivery, Entry
from queue_core.outcomes import Rejection
from tutormax_pipeline.records import record_class, validate
from tutormax_pipeline.store import Arrival


class Judge:
    """Crash loop, envelope, time to live, record: in this order, for the entries of one channel."""

    def __init__(self, consumer: MessageConsumer, channel: Channel) -> None:
        self._admit = Admission(consumer.client, channel)
        self._contract = record_class(channel)

    def __call__(self, entry: Entry) -> Arrival:
        """Decode, verify and validate; never raises for what a message holds."""
        if entry.delivery is Delivery.DELETED:
            return Arrival(entry, None, None)
        message = self._admit(entry)
        if isinstance(message, Rejection):
            return Arrival(entry, None, None, message)
        record = validate(self._contract, message)
        if isinstance(record, Rejection):
            return Arrival(entry, None, None, record)
        return Arrival(entry, message, record)

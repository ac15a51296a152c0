"""The drain: from a channel's stream into its table. What a run, the command line and a test all call.

One turn takes stale pending entries first, then new ones; decodes, verifies and validates each;
writes rows and ledger in one transaction; moves what cannot be stored to the dead letter stream;
and acknowledges in the same round trip as a later read. Turns go on until the queue is empty, a
limit is reached or a stop is asked for; then the drain lingers, so that a message published while
it does is stored within milliseconds.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.dead_letter import Letter
from queue_core.entry import Entry
from queue_core.monitor import ChannelSnapshot, snapshot
from queue_core.outcomes import Message, Outcome, Reason, Rejection
from queue_core.serializer import deserialize
from tutormax_pipeline.batches import Batches, DrainLimits
from tutormax_pipeline.latency import LatencyHistogram
from tutormax_pipeline.records import record_class, validate
from tutormax_pipeline.store import Arrival, Settlement, Store

__all__ = ["DrainLimits", "DrainReport", "drain"]

#: Objects made, and not freed, before Python looks for cycles while a drain runs.
_COLLECTOR_THRESHOLD = 200_000


@dataclass(slots=True)
class DrainReport:
    """What a drain did.

    Attributes:
        channel: name of the channel.
        outcomes: entries by final state, those settled now.
        repeated: entries that the ledger had from an earlier delivery; acknowledged, not written again.
        reasons: dead letters by reason.
        lost: ids that were deleted from the stream before they were processed.
        seconds: how long it took, lingering included.
        working_seconds: how long it took without waiting for messages.
        latency: from the entry's arrival in the stream to its commit.
        before: the channel as the drain found it.
        after: the channel as the drain left it.
        stopped: whether it was asked to stop.
    """

    channel: str
    before: ChannelSnapshot
    after: ChannelSnapshot
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    repeated: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    batches: int = 0
    seconds: float = 0.0
    working_seconds: float = 0.0
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    stopped: bool = False

    @property
    def messages(self) -> int:
        """Entries settled, repeated ones included."""
        return self.outcomes.total() + self.repeated

    @property
    def messages_per_second(self) -> float:
        """Rate while there was something to do."""
        return self.messages / self.working_seconds if self.working_seconds > 0 else 0.0

    def add(self, settlements: list[Settlement]) -> None:
        """Count a committed batch."""
        now_ms = time.time() * 1000
        new = [one for one in settlements if not one.repeated]
        self.batches += 1
        self.repeated += len(settlements) - len(new)
        self.outcomes.update([one.outcome for one in new])
        self.reasons.update([one.rejection.reason for one in new if one.rejection is not None])
        added = Counter([one.arrival.entry.added_ms for one in new if one.rejection is None])
        for added_ms, count in added.items():
            self.latency.add(now_ms - added_ms, count)


def drain(
    consumer: MessageConsumer,
    store: Store,
    channel: Channel,
    *,
    run_id: str,
    limits: DrainLimits | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DrainReport:
    """Drain one channel into the store.

    Args:
        consumer: a consumer of this drain's own.
        store: where rows and ledger go.
        channel: the channel.
        run_id: recorded with every row.
        limits: when to end; until empty when not given.
        stop: asked before every read; True ends the drain after the batch in hand.

    Raises:
        QueueUnavailableError: Redis is away. What was not settled is pending and taken up again.
        StoreUnavailableError: the database is away. What was in hand was given back.
    """
    # No group is made first: the read that misses it makes it, and a Redis that is full refuses to.
    before = snapshot(consumer.client, channel)
    report = DrainReport(channel.name, before, before)
    judge = Judge(consumer, channel)
    with Batches(consumer, channel, limits or DrainLimits(), stop) as batches, _collecting_rarely():
        for entries in batches:
            arrivals = [judge(entry) for entry in entries]
            settlements = store.write(channel, arrivals, run_id)
            letters = [Letter(arrival.entry, why) for arrival, _, why, _ in settlements if why is not None]
            consumer.dead_letter(channel, letters)
            batches.settled([one.arrival.entry.id for one in settlements if one.rejection is None])
            report.add(settlements)
    report.lost, report.stopped = batches.lost, stop()
    report.seconds, report.working_seconds = batches.seconds, batches.seconds - batches.idle_seconds
    report.after = snapshot(consumer.client, channel)
    return report


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    # A batch is tens of thousands of objects without cycles: the collector would walk them for nothing,
    # for a sixth of the drain's time.
    usual = gc.get_threshold()
    gc.set_threshold(_COLLECTOR_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class Judge:
    """Decides, of one entry, whether it is a record or can never be one."""

    def __init__(self, consumer: MessageConsumer, channel: Channel) -> None:
        self._contract = record_class(channel)
        self._stream = consumer.client.keys.stream(channel)
        self._max_bytes = consumer.client.settings.max_message_size_bytes
        self._ttl_seconds = consumer.client.settings.message_ttl_seconds

    def __call__(self, entry: Entry) -> Arrival:
        """Decode, verify and validate."""
        message = deserialize(entry.body, channel=self._stream, max_bytes=self._max_bytes)
        if isinstance(message, Rejection):
            return Arrival(entry, None, None, message)
        if self._expired(entry, message):
            rejection = Rejection(
                Reason.EXPIRED,
                ("message: outlived its time to live unread",),
                message.id,
                message.published_at,
            )
            return Arrival(entry, None, None, rejection)
        record = validate(self._contract, message)
        if isinstance(record, Rejection):
            return Arrival(entry, None, None, record)
        return Arrival(entry, message, record)

    def _expired(self, entry: Entry, message: Message) -> bool:
        # Counted from the entry's arrival in the stream, so that a redriven letter has its time anew;
        # and only at the first delivery: what was taken in hand does not expire.
        if entry.deliveries > 1:
            return False
        ttl_seconds = message.metadata.get("ttl_seconds") if message.metadata else None
        if not isinstance(ttl_seconds, (int, float)) or isinstance(ttl_seconds, bool):
            ttl_seconds = self._ttl_seconds
        return ttl_seconds > 0 and time.time() * 1000 - entry.added_ms > ttl_seconds * 1000

"""Which messages a worker takes next: of several channels in turn, and waiting on all of them at once."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import redis

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Entry, LeftEntry, entries_of
from queue_core.failpoints import around
from queue_core.group import ConsumerGroup, says_that_group_is_gone
from queue_core.lease import Lease
from queue_core.monitor import snapshot
from queue_core.worker_statistics import Count, Recorder

#: Longest single wait, so that a stop is noticed; well inside the time for an answer of the socket.
_WAIT_SECONDS = 0.5
#: A blocking read may end this late: servers look for expired ones ten times a second.
_LATE_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Entries of one channel, to be handled next.

    Attributes:
        channel: the channel.
        entries: at least one.
        received_at: when they were received, in seconds since 1970.
    """

    channel: Channel
    entries: list[Entry]
    received_at: float


class Intake:
    """Round robin over channels; of each, due retries and what others left first, then new entries.

    What was delivered before comes alone, one entry a batch, so that a message which ends its process takes
    nobody along; and in turn with a batch of new ones, which do not wait for all of it.

    Args:
        consumer: who receives.
        channels: where from.
        lease: what was received is noted there.
        recorder: where losses are counted.
        batch_size: most entries at once.
        poll_seconds: how often due retries and what others left are looked for.
    """

    def __init__(
        self,
        consumer: MessageConsumer,
        channels: Sequence[Channel],
        lease: Lease,
        recorder: Recorder,
        *,
        batch_size: int,
        poll_seconds: float,
    ) -> None:
        self._consumer, self._lease, self._recorder = consumer, lease, recorder
        self._turns = deque(channels)
        self._batch_size, self._poll_seconds = batch_size, poll_seconds
        self._left: dict[Channel, deque[LeftEntry]] = {channel: deque() for channel in channels}
        self._next_look = dict.fromkeys(channels, 0.0)
        self._news_first = dict.fromkeys(channels, False)
        self._paused_until = dict.fromkeys(channels, 0.0)
        self._arrived: dict[Channel, Batch] = {}
        self._room: dict[Channel, int] | None = None
        self._nothing_waits = False

    def next(self, *, wait: bool) -> Batch | None:
        """The next batch; None where there was nothing, after a wait if one is wanted.

        Raises:
            QueueUnavailableError: Redis is away.
        """
        self._nothing_waits = self._nothing_waits and wait
        for _ in range(len(self._turns)):
            channel = self._turns[0]
            self._turns.rotate(-1)
            if batch := self._of(channel):
                self._nothing_waits = False
                return batch
        # A read that blocks delivers what came in the meantime: none is needed before it.
        self._nothing_waits = wait
        if wait:
            self._wait()
        return None

    def limit_to_what_is_there(self) -> None:
        """From now on read no more new entries of each channel than wait now.

        What is tried again is bounded by its retries.

        Raises:
            QueueUnavailableError: Redis is away.
        """
        self._room = {channel: snapshot(self._consumer.client, channel).waiting for channel in self._turns}

    def unlimited(self) -> None:
        """Take whatever comes."""
        self._room = None
        self._paused_until = dict.fromkeys(self._paused_until, 0.0)

    def pause(self, channel: Channel, seconds: float) -> None:
        """Take nothing of a channel for so long; the others go on."""
        self._paused_until[channel] = time.monotonic() + seconds

    def postponed(self, channel: Channel, seconds: float) -> None:
        """Note that a message is to be tried again in so many seconds."""
        self._next_look[channel] = min(self._next_look[channel], time.monotonic() + seconds)

    def unbegun(self) -> dict[Channel, list[str]]:
        """What was taken over and is not begun, whose delivery so is not counted; from any thread."""
        return {channel: [entry.id for entry in list(left)] for channel, left in self._left.items()}

    def forget(self) -> dict[Channel, list[str]]:
        """Start over; returns what was taken over and is not begun, which somebody has to give back."""
        unbegun = self.unbegun()
        for left in self._left.values():
            left.clear()
        self._arrived.clear()
        self._next_look = dict.fromkeys(self._next_look, 0.0)
        return unbegun

    def _of(self, channel: Channel) -> Batch | None:
        if time.monotonic() < self._paused_until[channel]:
            return None
        if arrived := self._arrived.pop(channel, None):
            return arrived
        entries = self._received(channel)
        return Batch(channel, entries, time.time()) if entries else None

    def _received(self, channel: Channel) -> list[Entry]:
        if entries := self._look(channel):
            return entries
        if self._left[channel] and not self._news_first[channel]:
            self._news_first[channel] = True
            if entries := self._alone(channel):
                return entries
        self._news_first[channel] = False
        return self._read(channel) or self._alone(channel)

    def _look(self, channel: Channel) -> list[Entry]:
        if time.monotonic() < self._next_look[channel] or self._left[channel]:
            return []
        claimed = self._consumer.claim(channel, self._batch_size)
        self._lease.take(channel, [*(one.id for one in claimed.new), *(one.id for one in claimed.left)])
        if claimed.lost:
            _log.error(
                "%d messages of %s were deleted before they were processed, the first as entry %s.",
                *(len(claimed.lost), channel, claimed.lost[0]),
            )
            # They are still with the consumer that had them; whoever is first counts them.
            lost = self._consumer.acknowledge(channel, *claimed.lost)
            self._recorder.count(channel, Count.LOST, lost)
        elif not (claimed.new or claimed.left):
            due_seconds = claimed.next_retry_seconds
            wait = self._poll_seconds if due_seconds is None else min(self._poll_seconds, due_seconds)
            self._next_look[channel] = time.monotonic() + wait
        self._left[channel].extend(sorted(claimed.left, key=attrgetter("deliveries")))
        return claimed.new

    def _alone(self, channel: Channel) -> list[Entry]:
        left = self._left[channel]
        while left:
            one = left.popleft()
            if begun := self._consumer.begin(channel, [one]):
                return begun
            self._lease.drop(channel, [one.id])
        return []

    def _read(self, channel: Channel) -> list[Entry]:
        most = self._batch_size if self._room is None else min(self._batch_size, self._room[channel])
        if self._nothing_waits or not most:
            return []
        entries = self._consumer.read(channel, most)
        self._lease.take(channel, [entry.id for entry in entries])
        if self._room is not None:
            self._room[channel] -= len(entries)
        return entries

    def _wait(self) -> None:
        now = time.monotonic()
        longest = min(_WAIT_SECONDS, self._consumer.client.settings.socket_timeout / 2 - _LATE_SECONDS)
        awake = [channel for channel in self._turns if self._paused_until[channel] <= now]
        due = (max(self._next_look[channel], self._paused_until[channel]) for channel in self._turns)
        wait_seconds = min(longest, *(at - now for at in due))
        if wait_seconds <= 0:
            # Without a read that blocks one is needed, or a slow server would leave no time for any.
            self._nothing_waits = False
            return
        if not awake:
            time.sleep(wait_seconds)
            return
        by_stream = {self._consumer.client.keys.stream(channel): channel for channel in awake}
        reply = self._read_any(list(by_stream), max(1, int(wait_seconds * 1000)))
        for stream, rows in reply.items():
            name = stream.decode() if isinstance(stream, bytes) else stream
            channel, entries = by_stream[name], entries_of(rows)
            self._lease.take(channel, [entry.id for entry in entries])
            self._arrived[channel] = Batch(channel, entries, time.time())
            self._nothing_waits = False

    def _read_any(self, streams: list[str], wait_ms: int) -> dict[bytes | str, Any]:
        """One entry of each stream that has one: whoever else waits gets the others."""
        consumer = self._consumer
        with consumer.client.errors():
            try:
                with around("read"):
                    reply: Any = consumer.client.redis.xreadgroup(
                        consumer.group, consumer.name, dict.fromkeys(streams, ">"), count=1, block=wait_ms
                    )
            except redis.ResponseError as error:
                if not says_that_group_is_gone(error):
                    raise
            else:
                return dict(reply or {})
        group = ConsumerGroup(consumer.client, consumer.group)
        for channel in self._turns:
            group.create(channel)
        return {}

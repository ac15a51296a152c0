"""The reading side of a drain: which entries come next, read ahead, acknowledged, given back."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from types import TracebackType
from typing import Self

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Delivery, Entry, LeftEntry
from queue_core.errors import QueueError
from queue_core.reclaim import reclaim

#: Messages in one transaction, unless another number is given, and at the most.
BATCH_SIZE = 5_000
LARGEST_BATCH_SIZE = 10_000
#: Entries after which others probably wait: fewer are not worth a thread.
_MANY = 50

#: Longest single wait while lingering, so that a stop is noticed.
_WAIT_SECONDS = 0.5
#: How often due retries and entries left behind are looked for while others are read.
_LOOK_SECONDS = 5.0
#: How long those left behind are taken, one by one, before it is a batch of new ones' turn.
_ALONE_SECONDS = 0.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DrainLimits:
    """When a drain ends.

    Attributes:
        batch_size: most messages in one transaction.
        max_messages: ends after this many; None is no limit.
        max_seconds: ends after this long; None is no limit.
        linger_seconds: once empty, waits this long for another message; 0 ends at once.
        outage_seconds: waits this long for Redis or the database to come back; 0 fails at once.

    Raises:
        ValueError: ``batch_size`` below 1 or another limit below 0.
    """

    batch_size: int = BATCH_SIZE
    max_messages: int | None = None
    max_seconds: float | None = None
    linger_seconds: float = 0.0
    outage_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        for name in ("max_messages", "max_seconds", "linger_seconds", "outage_seconds"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")


class Batches:
    """Iterates over batches of entries until the queue is empty, a limit is reached or a stop is asked for.

    While one full batch is stored the next is read in a thread. What was delivered before comes alone,
    one entry a batch, so that a message which ends its process takes nobody along.

    Attributes:
        seconds: since entering the block.
        idle_seconds: of these, spent waiting for messages.
    """

    def __init__(
        self,
        consumer: MessageConsumer,
        channel: Channel,
        limits: DrainLimits,
        stop: Callable[[], bool],
        *,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self.seconds = self.idle_seconds = 0.0
        self._consumer, self._channel, self._limits, self._stop = consumer, channel, limits, stop
        self._idle = idle
        self._ahead: Future[list[Entry]] | None = None
        self._asked_ahead = 0
        self._in_hand: set[str] = set()
        self._left_behind: deque[LeftEntry] = deque()
        self._settled: list[str] = []
        self._room_left = limits.max_messages
        self._next_look = self._alone_until = 0.0

    def __enter__(self) -> Self:
        self._started = self._last_arrival = time.monotonic()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        return self

    def __iter__(self) -> Iterator[list[Entry]]:
        while entries := self._next():
            yield entries

    def settled(self, entry_ids: Sequence[str]) -> None:
        """Note what is stored: it is acknowledged with a later read. The batch is no longer in hand."""
        self._settled.extend(entry_ids)
        self._in_hand.clear()

    def postponed(self, seconds: float | None) -> None:
        """Note that an entry is to be tried again in so many seconds, if at all."""
        if seconds is not None:
            self._next_look = min(self._next_look, time.monotonic() + seconds)

    def start_over(self) -> None:
        """Give back all that this consumer holds, even what was delivered with an answer that was lost."""
        self.give_back()
        reclaim(
            self._consumer.client, self._channel, consumer=self._consumer.name, min_idle_ms=0, uncounted=True
        )
        self._next_look = 0.0

    def give_back(self) -> None:
        """Acknowledge what is settled, give back what is not, and leave the group."""
        unread = {entry.id for entry in self._collect()}
        self._acknowledge()
        begun = [*self._in_hand, *unread]
        self._consumer.release(self._channel, begun)
        waiting = [entry.id for entry in self._left_behind]
        self._consumer.release(self._channel, waiting, counted=False)
        self._take_room(-len(begun) - len(waiting))
        self._in_hand.clear()
        self._left_behind.clear()
        self._consumer.leave(self._channel)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.give_back()
        except QueueError as trouble:
            if kind is None:
                raise
            if self._in_hand or self._left_behind or self._settled:
                _log.warning("Nothing could be given back, it is taken over when it is stale: %s", trouble)
        finally:
            self._thread.shutdown()
            self.seconds = time.monotonic() - self._started

    def _next(self) -> list[Entry]:
        while not self._over():
            some_left_behind = bool(self._left_behind)
            if entries := self._in_turn():
                self._in_hand = {entry.id for entry in entries}
                self._last_arrival = time.monotonic()
                self._read_ahead(len(entries))
                return entries
            if some_left_behind:
                continue  # others took them over; what else waits was not looked for
            self._idle()
            if time.monotonic() - self._last_arrival >= self._limits.linger_seconds:
                return []
        return []

    def _over(self) -> bool:
        limit = self._limits.max_seconds
        return (
            self._stop()
            or (self._room_left == 0 and self._ahead is None and not self._left_behind)
            or (limit is not None and time.monotonic() - self._started >= limit)
        )

    def _in_turn(self) -> list[Entry]:
        # Those left behind come first, but new ones do not wait for all of them.
        if self._left_behind and time.monotonic() < self._alone_until:
            return self._alone()
        entries = self._take_over() or self._collect() or self._read()
        self._alone_until = time.monotonic() + _ALONE_SECONDS
        return entries or self._alone()

    def _alone(self) -> list[Entry]:
        while self._left_behind:
            if begun := self._consumer.begin(self._channel, [self._left_behind.popleft()]):
                return begun
        return []

    def _take_over(self) -> list[Entry]:
        if time.monotonic() < self._next_look or self._room_left == 0 or self._left_behind:
            return []
        # First what is done: else this drain would take over, again and again, what it has stored itself.
        self._acknowledge()
        claimed = self._consumer.claim(self._channel, self._room())
        lost = [Entry(entry_id, {}, delivery=Delivery.DELETED) for entry_id in claimed.lost]
        if not (claimed.new or claimed.left or lost):
            due_seconds = _LOOK_SECONDS if claimed.next_retry_seconds is None else claimed.next_retry_seconds
            self._next_look = time.monotonic() + min(_LOOK_SECONDS, due_seconds)
        # What was in hand when a process ended comes last. Should it be deadly, its neighbours are stored by
        # then; should it not be, it is not the first in hand again when the next process is ended.
        self._left_behind.extend(sorted(claimed.left, key=attrgetter("deliveries")))
        self._take_room(len(claimed.new) + len(claimed.left) + len(lost))
        return [*claimed.new, *lost]

    def _acknowledge(self) -> None:
        self._consumer.acknowledge(self._channel, *self._settled)
        self._settled = []

    def _collect(self) -> list[Entry]:
        if self._ahead is None:
            return []
        ahead, self._ahead = self._ahead, None
        # Room was taken for as many as were asked for: not for those that did not come.
        self._take_room(-self._asked_ahead)
        entries = ahead.result()
        self._take_room(len(entries))
        return entries

    def _read(self) -> list[Entry]:
        if self._room_left == 0:
            return []
        now = time.monotonic()
        settled, self._settled = self._settled, []
        wait_seconds = 0.0 if self._left_behind else self._longest_wait_seconds(now)
        entries = self._consumer.read(
            self._channel, self._room(), block_ms=int(wait_seconds * 1000), acknowledge=settled
        )
        if wait_seconds:
            self.idle_seconds += time.monotonic() - now
        self._take_room(len(entries))
        return entries

    def _longest_wait_seconds(self, now: float) -> float:
        until = min(self._last_arrival + self._limits.linger_seconds, self._next_look, now + _WAIT_SECONDS)
        if self._limits.max_seconds is not None:
            until = min(until, self._started + self._limits.max_seconds)
        return max(0.0, until - now)

    def _read_ahead(self, arrived: int) -> None:
        if self._ahead is not None or self._room_left == 0 or arrived < min(_MANY, self._limits.batch_size):
            return
        if time.monotonic() >= self._next_look:
            return  # there may be entries left behind, which come before new ones
        settled, self._settled = self._settled, []
        # Taken from now on: others may be taken over before the answer is there.
        count = self._asked_ahead = self._room()
        self._take_room(count)
        self._ahead = self._thread.submit(self._consumer.read, self._channel, count, acknowledge=settled)

    def _room(self) -> int:
        batch_size = self._limits.batch_size
        return batch_size if self._room_left is None else min(batch_size, self._room_left)

    def _take_room(self, entries: int) -> None:
        if self._room_left is not None:
            self._room_left -= entries

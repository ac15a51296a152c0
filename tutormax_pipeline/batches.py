"""The reading side of a drain: which entries come next, read ahead, acknowledged, given back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Entry
from queue_core.errors import QueueError

#: Messages in one transaction, unless another number is given, and at the most.
BATCH_SIZE = 5_000
LARGEST_BATCH_SIZE = 10_000

#: Longest single wait while lingering, so that a stop is noticed.
_WAIT_SECONDS = 0.5
#: How often stale pending entries are looked for while others are read.
_STALE_LOOK_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DrainLimits:
    """When a drain ends.

    Attributes:
        batch_size: most messages in one transaction.
        max_messages: ends after this many; None is no limit.
        max_seconds: ends after this long; None is no limit.
        linger_seconds: once empty, waits this long for another message; 0 ends at once.

    Raises:
        ValueError: ``batch_size`` below 1 or another limit below 0.
    """

    batch_size: int = BATCH_SIZE
    max_messages: int | None = None
    max_seconds: float | None = None
    linger_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")
        for name in ("max_messages", "max_seconds", "linger_seconds"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")


class Batches:
    """Iterates over batches of entries until the queue is empty, a limit is reached or a stop is asked for.

    While one full batch is stored the next is read in a thread. Leaving the ``with`` block
    acknowledges what is settled, gives back what was not, and leaves the group.

    Attributes:
        lost: ids deleted from the stream before they were processed.
        seconds: since entering the block.
        idle_seconds: of these, spent waiting for messages.
    """

    def __init__(
        self, consumer: MessageConsumer, channel: Channel, limits: DrainLimits, stop: Callable[[], bool]
    ) -> None:
        self.lost: list[str] = []
        self.seconds = self.idle_seconds = 0.0
        self._consumer, self._channel, self._limits, self._stop = consumer, channel, limits, stop
        self._ahead: Future[list[Entry]] | None = None
        self._asked_ahead = 0
        self._in_hand: set[str] = set()
        self._settled: list[str] = []
        self._left = limits.max_messages
        self._next_stale_look = 0.0

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            unread = self._collect()
            self._acknowledge()
            self._consumer.release(self._channel, [*self._in_hand, *(entry.id for entry in unread)])
            self._consumer.leave(self._channel)
        except QueueError as trouble:
            if kind is None:
                raise
            _log.warning("Nothing could be given back, it will be taken over when it is stale: %s", trouble)
        finally:
            self._thread.shutdown()
            self.seconds = time.monotonic() - self._started

    def _next(self) -> list[Entry]:
        while not self._over():
            entries = self._stale() or self._collect() or self._read()
            if entries:
                self._in_hand = {entry.id for entry in entries}
                self._last_arrival = time.monotonic()
                self._read_ahead(len(entries))
                return entries
            if time.monotonic() - self._last_arrival >= self._limits.linger_seconds:
                return []
        return []

    def _over(self) -> bool:
        limit = self._limits.max_seconds
        return (
            self._stop()
            or (self._left == 0 and self._ahead is None)
            or (limit is not None and time.monotonic() - self._started >= limit)
        )

    def _stale(self) -> list[Entry]:
        if time.monotonic() < self._next_stale_look or self._left == 0:
            return []
        # First what is done: else this drain would take over, again and again, what it has stored itself.
        self._acknowledge()
        claimed = self._consumer.claim_stale(self._channel, self._room())
        if not claimed.entries:
            self._next_stale_look = time.monotonic() + _STALE_LOOK_SECONDS
        self.lost.extend(claimed.lost)
        return self._taken(claimed.entries)

    def _acknowledge(self) -> None:
        self._consumer.acknowledge(self._channel, *self._settled)
        self._settled = []

    def _collect(self) -> list[Entry]:
        if self._ahead is None:
            return []
        ahead, self._ahead = self._ahead, None
        entries = ahead.result()
        self._count(len(entries) - self._asked_ahead)
        return entries

    def _read(self) -> list[Entry]:
        if self._left == 0:
            return []
        now = time.monotonic()
        wait_seconds = min(_WAIT_SECONDS, max(0.0, self._last_arrival + self._limits.linger_seconds - now))
        if self._limits.max_seconds is not None:
            wait_seconds = min(wait_seconds, max(0.0, self._started + self._limits.max_seconds - now))
        settled, self._settled = self._settled, []
        entries = self._consumer.read(
            self._channel, self._room(), block_ms=int(wait_seconds * 1000), acknowledge=settled
        )
        if wait_seconds:
            self.idle_seconds += time.monotonic() - now
        return self._taken(entries)

    def _read_ahead(self, arrived: int) -> None:
        if self._ahead is not None or self._left == 0 or arrived < self._limits.batch_size:
            return
        if time.monotonic() >= self._next_stale_look:
            return  # there may be stale entries, which come before new ones
        settled, self._settled = self._settled, []
        # Counted as taken from now on: stale entries may be claimed before the answer is there.
        count = self._asked_ahead = self._room()
        self._count(count)
        self._ahead = self._thread.submit(self._consumer.read, self._channel, count, acknowledge=settled)

    def _room(self) -> int:
        return self._limits.batch_size if self._left is None else min(self._limits.batch_size, self._left)

    def _taken(self, entries: list[Entry]) -> list[Entry]:
        self._count(len(entries))
        return entries

    def _count(self, taken: int) -> None:
        if self._left is not None:
            self._left -= taken

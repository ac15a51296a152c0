"""A collector that looks anew at each scrape, in bounded time, and never fails it.

Where Redis or the store is away, that is a figure too: ``tutormax_redis_up`` or ``tutormax_store_up`` is 0,
and the other figures of it are absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from queue_core import QueueError, RedisClient
from queue_core.look import Away, Look, look
from tutormax_pipeline.metrics.families import (
    channel_families,
    ledger_families,
    letter_families,
    server_families,
    up,
)
from tutormax_pipeline.metrics.ledger_counts import LedgerCounts
from tutormax_pipeline.metrics.letter_tally import LetterTally
from tutormax_pipeline.store import Store
from tutormax_pipeline.timed_look import TimedLook

#: How long a scrape waits for each of Redis and the store; Prometheus itself waits 10 s unless told.
SCRAPE_SECONDS = 4.0

_Seen = tuple[Look, Counter[tuple[str, str]]]


class QueueCollector(Collector):
    """The figures of the queues and of the ledger.

    Args:
        connect: makes a client of Redis; again after an outage, as an embedded server may have another port.
        open_store: opens the store; again after it was away.
        seconds: how long to wait for each of them.
    """

    def __init__(
        self,
        connect: Callable[[], RedisClient],
        open_store: Callable[[], Store],
        *,
        seconds: float = SCRAPE_SECONDS,
    ) -> None:
        self._connect = connect
        self._client: RedisClient | None = None
        self._tally = LetterTally()
        self._look = TimedLook(self._ask_redis, seconds)
        self._ledger = LedgerCounts(open_store)
        self._count = TimedLook(self._ledger, seconds)

    def describe(self) -> list[Metric]:
        """Nothing: so that registering does not look at anything."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families."""
        seen = self._look()
        yield up("redis", "1 where Redis answers.", is_up=seen is not None)
        if seen is not None:
            found, counted = seen
            yield from server_families(found)
            yield from channel_families(found.channels)
            yield from letter_families(found, counted)
        settled = self._count() or self._ledger.last()
        yield up("store", "1 where the store can be read.", is_up=settled is not None)
        if settled is not None:
            yield from ledger_families(settled)

    def _ask_redis(self) -> _Seen | None:
        try:
            if self._client is None:
                self._client = self._connect()
            found = look(self._client)
            if not isinstance(found, Away):
                return found, self._tally(self._client, found.letters.newest_id).copy()
        except QueueError:
            pass
        if self._client is not None:
            self._client.close()
        self._client = None
        return None

"""Giving back what consumers hold and no longer work on, with an account of it.

    report = reclaim(client, QueueChannels.TUTORS)                      # left for too long
    report = reclaim(client, channel, consumer="run:...", min_idle_ms=0)  # its run is known to have ended

What is given back is taken up by the next reader at once. Its deliveries stay counted, so that a message
which kills whoever takes it is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from queue_core.channels import RELEASED_CONSUMER, Channel
from queue_core.client import RedisClient
from queue_core.group import ConsumerGroup
from queue_core.group_health import name_of

#: Entries looked at in one script: some ms of the server's time.
_PAGE = 1_000


@dataclass(slots=True)
class Holding:
    """What one consumer held.

    Attributes:
        consumer: its name.
        given_back: entries given back.
        lost: entries that somebody deleted from the stream while it held them.
        oldest_idle_ms: since when the longest held of them was held, in ms before now.
        most_deliveries: of these entries, the most deliveries of one.
    """

    consumer: str
    given_back: int = 0
    lost: int = 0
    oldest_idle_ms: int = 0
    most_deliveries: int = 0


@dataclass(slots=True)
class ReclaimReport:
    """What became of the pending entries of one channel.

    Attributes:
        channel: its name.
        holdings: by consumer, in the order in which they were met.
        lost: ids that are pending but were deleted from the stream. They stay pending, so that the loss
            can be recorded first; a drain does that once they are stale.
        scheduled: entries left alone because they wait for their retry.
    """

    channel: str
    holdings: dict[str, Holding] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    scheduled: int = 0

    @property
    def given_back(self) -> int:
        """Entries given back, of all consumers."""
        return sum(holding.given_back for holding in self.holdings.values())

    def _holding(self, row: Sequence[bytes | int]) -> Holding:
        _, consumer, idle_ms, deliveries = row
        name = name_of(bytes(consumer))
        holding = self.holdings.setdefault(name, Holding(name))
        holding.oldest_idle_ms = max(holding.oldest_idle_ms, int(idle_ms))
        holding.most_deliveries = max(holding.most_deliveries, int(deliveries))
        return holding

    def add(self, given: Sequence[Sequence[bytes | int]], lost: Sequence[Sequence[bytes | int]]) -> None:
        """Count rows as XPENDING gives them."""
        for row in given:
            self._holding(row).given_back += 1
        for row in lost:
            self._holding(row).lost += 1
            self.lost.append(bytes(row[0]).decode())


def reclaim(
    client: RedisClient,
    channel: Channel,
    *,
    min_idle_ms: int | None = None,
    consumer: str | None = None,
    uncounted: bool = False,
) -> ReclaimReport:
    """Give back what was delivered and left.

    Args:
        client: the connection.
        channel: the channel.
        min_idle_ms: least time since its delivery; when not given,
            ``REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS``.
        consumer: only what this one holds; of all when not given.
        uncounted: take back the delivery of what was delivered only once: for a reader that lost an
            answer and begun nothing of it.

    Raises:
        QueueUnavailableError: Redis is away; what was given back until then stays so.
    """
    if min_idle_ms is None:
        min_idle_ms = client.settings.worker_max_processing_time_ms
    group, report, start = ConsumerGroup(client), ReclaimReport(channel.name), "-"
    keys = group.entry_keys(channel)[:2]
    while start:
        given, lost, scheduled, go_on = group.run(
            "reclaim",
            channel,
            keys,
            [RELEASED_CONSUMER, min_idle_ms, start, _PAGE, consumer or "", int(uncounted)],
        )
        report.add(given, lost)
        report.scheduled += scheduled
        start = go_on.decode()
    return report

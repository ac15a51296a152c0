"""Publishing what a simulation makes, at its pace, and waiting where the queue is full."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.publisher import MessagePublisher
from queue_core.simulation.faults import Fault, Upstream, body_of

#: Messages that are published together when there is no pace to keep.
_MOST_AT_ONCE = 200
_FULL_WAIT_SECONDS = 0.5
#: Longer waits are more than a thread's clock can count.
_LONGEST_WAIT_SECONDS = 1e9


@dataclass(slots=True)
class Tally:
    """What was published.

    Attributes:
        published: messages by the name of their channel, bad ones and duplicates included.
        faults: of these, how many had which fault.
        last_at: when, by the simulation's clock, the last one happened; None before the first.
        full_seconds: how long a full queue was waited for.
        stopped: whether it was ended before its end.
    """

    published: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    last_at: datetime | None = None
    full_seconds: float = 0.0
    stopped: bool = False

    def as_dict(self) -> dict[str, object]:
        """The same as plain JSON values."""
        return {
            "published": dict(self.published),
            "faults": dict(self.faults),
            "last_at": self.last_at.isoformat() if self.last_at else None,
            "full_seconds": round(self.full_seconds, 1),
            "stopped": self.stopped,
        }


def play(
    client: RedisClient,
    messages: Iterable[Upstream],
    tally: Tally,
    *,
    speed: float,
    start: datetime,
    wait: Callable[[float], bool],
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Publish messages in their order.

    Args:
        client: the connection.
        messages: what to publish, in the order of their time.
        tally: is kept up to date, so that it holds what was published also where this ends with an error.
        speed: how much faster than life, 1 is as it happens; 0 is as fast as possible.
        start: the simulation's time at which it begins.
        wait: waits so many seconds and returns False, or returns True at once when it is time to stop.
        say: tells the person who watches.
        clock: seconds.

    Raises:
        ValueError: the speed is negative or not finite.
        QueueUnavailableError: Redis is away.
    """
    if not (math.isfinite(speed) and speed >= 0):
        raise ValueError(f"speed must be a number, 0 or more, and not {speed}")
    began = clock()
    for batch in _batches(messages, 1 if speed else _MOST_AT_ONCE):
        due = (batch[0].event.at - start).total_seconds() / speed if speed else 0.0
        tally.stopped = wait(min(max(0.0, began + due - clock()), _LONGEST_WAIT_SECONDS))
        for channel, group in groupby(batch, lambda message: message.event.channel):
            left, told = list(group), False
            while left and not tally.stopped:
                left = _publish(client, channel, left, tally)
                if left and not told:
                    say(f"Queue {channel} is full (REDIS_QUEUE_MAXLEN): waiting until it is drained.")
                    told = True
                if left:
                    waits_since = clock()
                    tally.stopped = wait(_FULL_WAIT_SECONDS)
                    tally.full_seconds += clock() - waits_since
        if tally.stopped:
            return


def _publish(client: RedisClient, channel: Channel, messages: list[Upstream], tally: Tally) -> list[Upstream]:
    """Publish what fits; returns those for which there was no room."""
    stream, most_bytes = client.keys.stream(channel), client.settings.max_message_size_bytes
    bodies = [(one.event.message_id, body_of(one, stream, most_bytes)) for one in messages]
    report = MessagePublisher(client).publish_envelopes(channel, bodies)
    # A batch travels at once, in order: what found no room are the last ones.
    for one in messages[: report.published]:
        tally.published[channel.name] += 1
        tally.last_at = one.event.at
        if one.fault is not None:
            tally.faults[one.fault.value] += 1
    return messages[report.published :]


def _batches(messages: Iterable[Upstream], most: int) -> Iterator[list[Upstream]]:
    batch: list[Upstream] = []
    for message in messages:
        batch.append(message)
        # The publisher divides what is large, and between its parts room could come: out of order.
        if len(batch) >= most or message.fault is Fault.TOO_LARGE:
            yield batch
            batch = []
    if batch:
        yield batch

"""What a worker did: counted by channel, read from any thread."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from queue_core.channels import Channel

#: The rate is that of the last minute.
RATE_SECONDS = 60
#: Handler calls of which the time is kept, for each channel.
_CALLS_KEPT = 1_000


class Count(StrEnum):
    """What is counted, of messages."""

    #: Handled, and acknowledged.
    PROCESSED = "processed"
    #: Attempts that ended in False, an exception or past the time limit.
    FAILED = "failed"
    #: Of these, those that are to be made again.
    RETRIED = "retried"
    #: Moved to the dead letters, for whatever reason.
    DEAD = "dead"
    #: Deleted from the stream by somebody before they were processed.
    LOST = "lost"
    #: Taken over by another consumer while they were in hand here; their results were left to it.
    TAKEN_OVER = "taken_over"


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """What a worker did with one channel, or with all of them, since it was made.

    Attributes:
        processed: messages handled and acknowledged.
        failed: attempts that ended in False, an exception or past the time limit.
        retried: of these, those that are to be made again.
        dead: messages moved to the dead letters.
        lost: messages that somebody deleted from the stream before they were processed.
        taken_over: messages that another consumer took over while they were in hand here.
        per_second: messages processed a second, over the last minute.
        handler_seconds_p50: median time of a handler's call, of the last thousand; None without any.
        handler_seconds_p99: 99th percentile of the same.
        handler_seconds_max: longest of the same.
    """

    processed: int = 0
    failed: int = 0
    retried: int = 0
    dead: int = 0
    lost: int = 0
    taken_over: int = 0
    per_second: float = 0.0
    handler_seconds_p50: float | None = None
    handler_seconds_p99: float | None = None
    handler_seconds_max: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """One look at a worker.

    Attributes:
        total: of all channels.
        channels: by the channel's name.
    """

    total: ChannelStatistics
    channels: dict[str, ChannelStatistics]


@dataclass(slots=True)
class _Recorded:
    counts: Counter[Count] = field(default_factory=Counter)
    #: Messages processed in each of the last seconds: (second, how many).
    seconds: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=RATE_SECONDS + 1))
    calls: deque[float] = field(default_factory=lambda: deque(maxlen=_CALLS_KEPT))


class Recorder:
    """Keeps the statistics of a worker.

    Args:
        channels: those that it works on.
        clock: seconds, that only grow.
    """

    def __init__(self, channels: Iterable[Channel], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._started = clock, clock()
        self._lock = threading.Lock()
        self._channels = {channel: _Recorded() for channel in channels}

    def count(self, channel: Channel, what: Count, messages: int = 1) -> None:
        """Note that so many messages met with it."""
        if not messages:
            return
        second = int(self._clock())
        with self._lock:
            recorded = self._channels[channel]
            recorded.counts[what] += messages
            if what is not Count.PROCESSED:
                return
            if recorded.seconds and recorded.seconds[-1][0] == second:
                messages += recorded.seconds.pop()[1]
            recorded.seconds.append((second, messages))

    def called(self, channel: Channel, seconds: float) -> None:
        """Note how long a handler took."""
        with self._lock:
            self._channels[channel].calls.append(seconds)

    def snapshot(self) -> WorkerStatistics:
        """What was done until now."""
        now = self._clock()
        with self._lock:
            each = {channel.name: self._summed([one], now) for channel, one in self._channels.items()}
            return WorkerStatistics(self._summed(list(self._channels.values()), now), each)

    def _summed(self, recorded: list[_Recorded], now: float) -> ChannelStatistics:
        counts: Counter[Count] = sum((one.counts for one in recorded), Counter())
        recent = sum(n for one in recorded for second, n in one.seconds if second > now - RATE_SECONDS)
        calls = sorted(seconds for one in recorded for seconds in one.calls)
        return ChannelStatistics(
            **{what.value: counts[what] for what in Count},
            per_second=recent / max(1.0, min(float(RATE_SECONDS), now - self._started)),
            handler_seconds_p50=_percentile(calls, 0.5),
            handler_seconds_p99=_percentile(calls, 0.99),
            handler_seconds_max=calls[-1] if calls else None,
        )


def _percentile(ascending: list[float], share: float) -> float | None:
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None

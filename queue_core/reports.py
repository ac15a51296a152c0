"""What a worker has to tell Redis of the messages it handled; kept while Redis is away."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Entry
from queue_core.letter import Letter
from queue_core.outcomes import Reason, Rejection
from queue_core.pending import Finish
from queue_core.received import ReceivedMessage
from queue_core.worker_statistics import Count, Recorder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """Messages that are handled, to be acknowledged."""

    channel: Channel
    entry_ids: list[str]


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that failed, and why: in words that hold no value of the message."""

    channel: Channel
    entry: Entry
    message: ReceivedMessage
    error: str


class Reports:
    """Tells Redis, in order; what could not be told is told first when Redis is back.

    Args:
        consumer: who holds the entries.
        recorder: where outcomes are counted.
        postponed: told in how many seconds a message of a channel is to be tried again.
    """

    def __init__(
        self,
        consumer: MessageConsumer,
        recorder: Recorder,
        postponed: Callable[[Channel, float], None],
    ) -> None:
        self._consumer, self._recorder, self._postponed = consumer, recorder, postponed
        self._untold: deque[Done | Failed] = deque()
        self._repeated = False

    def __len__(self) -> int:
        return len(self._untold)

    def tell(self, *reports: Done | Failed) -> None:
        """Tell them, or keep them.

        Raises:
            QueueUnavailableError: Redis is away; they are kept for :meth:`flush`.
        """
        for report in reports:
            if isinstance(report, Failed):
                self._recorder.count(report.channel, Count.FAILED)
        self._untold.extend(reports)
        self.flush()

    def flush(self) -> None:
        """Tell what is kept.

        Raises:
            QueueUnavailableError: Redis is away; the rest is kept.
        """
        while self._untold:
            report, repeated = self._untold[0], self._repeated
            # Until the answer is there it may have been told, or not.
            self._repeated = True
            if isinstance(report, Done):
                self._acknowledge(report, repeated=repeated)
            else:
                self._try_again(report, repeated=repeated)
            self._untold.popleft()
            self._repeated = False

    def _acknowledge(self, done: Done, *, repeated: bool) -> None:
        answers = self._consumer.finish(done.channel, done.entry_ids)
        processed = 0
        for entry_id, answer in zip(done.entry_ids, answers, strict=True):
            if answer is Finish.DONE or (answer is Finish.SETTLED and repeated):
                processed += 1
            else:
                self.taken_over(done.channel, [entry_id])
        self._recorder.count(done.channel, Count.PROCESSED, processed)

    def _try_again(self, failed: Failed, *, repeated: bool) -> None:
        channel, entry, message, error = failed.channel, failed.entry, failed.message, failed.error
        planned = self._consumer.plan_retry(channel, entry.id, error)
        who = f"Message {message.id} of {channel} (entry {entry.id})"
        if planned.used_up:
            words = (f"last attempt: {error}",)
            rejection = Rejection(Reason.RETRIES_EXHAUSTED, words, message.id, message.published_at)
            moved = self._consumer.dead_letter(channel, [Letter(entry, rejection)])
            self._recorder.count(channel, Count.DEAD, moved)
            _log.error("%s failed, and is a dead letter: %s", who, error)
        elif planned.delay_seconds is not None:
            self._recorder.count(channel, Count.RETRIED)
            self._postponed(channel, planned.delay_seconds)
            _log.warning("%s failed, and is tried again in %.3g s: %s", who, planned.delay_seconds, error)
        elif not repeated:
            self.taken_over(channel, [entry.id])

    def taken_over(self, channel: Channel, entry_ids: list[str]) -> None:
        """Say that another consumer has them now; whatever their handler gives is left to it."""
        self._recorder.count(channel, Count.TAKEN_OVER, len(entry_ids))
        _log.error(
            "%d messages of %s were taken over by another consumer while they were in hand here, as "
            "entry %s; their results do not count. Were they not renewed in time "
            "(REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS)?",
            *(len(entry_ids), channel, entry_ids[0]),
        )

"""From entries to final states: judged, written, and what fails unexpectedly found and set aside."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Entry
from queue_core.errors import QueueError
from queue_core.fault import describe
from queue_core.outcomes import Reason, Rejection
from queue_core.serializer import deserialize
from tutormax_pipeline.judge import Judge
from tutormax_pipeline.store import Arrival, Settlement, Store, StoreError

_log = logging.getLogger(__name__)


class FailedAttempt(NamedTuple):
    """An entry that could not be processed this time, and why: in words that hold no value of it."""

    entry: Entry
    error: str


class Settled(NamedTuple):
    """What became of a batch: final states, and attempts to be made again."""

    settlements: list[Settlement]
    failures: list[FailedAttempt]


class Settler:
    """Settles the batches of one channel.

    A message that makes the code fail in a way nobody foresaw is found by halving the batch, so that its
    neighbours are stored; it is to be tried again later.
    """

    def __init__(self, consumer: MessageConsumer, store: Store, channel: Channel, run_id: str) -> None:
        self._judge = Judge(consumer, channel)
        self._store, self._channel, self._run_id = store, channel, run_id

    def settle(self, entries: Sequence[Entry]) -> Settled:
        """Judge and write.

        Raises:
            StoreUnavailableError: the database is away, and nothing was written.
        """
        settled = self._settle(entries)
        if settled.failures:
            # One line, however many: a fault of the code's own may hit every message.
            first = settled.failures[0]
            _log.warning(
                "%d of %d entries of %s failed; %s: %s",
                *(len(settled.failures), len(entries), self._channel, first.entry.id, first.error),
            )
        return settled

    def give_up(self, failure: FailedAttempt) -> list[Settlement]:
        """Record that an entry is a dead letter, its retries used up.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        entry, words = failure.entry, (f"last attempt: {failure.error}",)
        source = _read_again(entry)
        rejection = Rejection(Reason.RETRIES_EXHAUSTED, words, *source)
        return self._store.write(self._channel, [Arrival(entry, None, None, rejection)], self._run_id)

    def _settle(self, entries: Sequence[Entry]) -> Settled:
        try:
            arrivals = [self._judge(entry) for entry in entries]
            return Settled(self._store.write(self._channel, arrivals, self._run_id), [])
        except (QueueError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one message's and not its neighbours'
            if len(entries) == 1:
                return Settled([], [FailedAttempt(entries[0], describe(error))])
        half = len(entries) // 2
        parts = [self._settle(part) for part in (entries[:half], entries[half:])]
        return Settled([one for part in parts for one in part[0]], [one for part in parts for one in part[1]])


def _read_again(entry: Entry) -> tuple[str | None, datetime | None]:
    """Message id and publishing time, unless reading them is what fails."""
    try:
        result = deserialize(entry.body)
    except Exception:  # noqa: BLE001 - see above: then it goes without
        return None, None
    return result.message_id, result.published_at

"""Giving up what a worker has in hand over the head of a handler that does not end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.interruption import Why
from queue_core.lease import Lease
from queue_core.watch import Call
from queue_core.worker_statistics import Count, Recorder

_log = logging.getLogger(__name__)

_NEXT = {
    Why.TIME_LIMIT: "This worker goes on when it ends.",
    Why.STOP: "The process ends without it; where it does not, kill it.",
}


def too_long(seconds: float) -> str:
    """The words for an attempt that went past its time limit."""
    return f"the handler took longer than {seconds:g} s"


class GivingUp:
    """Called from another thread than the handler's, which is stuck.

    A message that was handled alone, past its time limit, counts as a failed attempt. Of those that were
    handled together nobody knows which is at fault: they are given back, and come alone the next time.

    Args:
        consumer: who holds what is in hand.
        lease: what that is.
        recorder: where outcomes are counted.
        unbegun: what of it was taken over and is not begun, by channel: no delivery of it is to be taken
            back, as those on record are of earlier times.
    """

    def __init__(
        self,
        consumer: MessageConsumer,
        lease: Lease,
        recorder: Recorder,
        *,
        unbegun: Callable[[], Mapping[Channel, Sequence[str]]],
    ) -> None:
        self._consumer, self._lease, self._recorder = consumer, lease, recorder
        self._unbegun = unbegun

    def __call__(self, call: Call, why: Why) -> None:
        """Give up all that is in hand.

        Raises:
            QueueUnavailableError: Redis is away; it is to be tried again.
        """
        channel, handled = call.channel, set(call.entry_ids)
        held = self._lease.held()
        mine = sorted(held.get(channel, set()) & handled)
        if not mine:
            return  # it ended at this very moment
        # First these: once they are out of hand, whatever the handler still gives is left alone.
        if why is Why.TIME_LIMIT and len(call.entry_ids) == 1:
            self._fail(channel, mine[0], too_long(call.limit_seconds))
        else:
            self._consumer.release(channel, mine, counted=False)
        unbegun = self._unbegun()
        for one, entry_ids in held.items():
            others = entry_ids - handled if one is channel else entry_ids
            uncounted = others.intersection(unbegun.get(one, ()))
            self._consumer.release(one, sorted(others - uncounted))
            self._consumer.release(one, sorted(uncounted), counted=False)
            self._lease.drop(one, entry_ids)
        _log.error(
            "The handler of %s does not end (%s) with entry %s: what is in hand is given up, and its "
            "result will not count. %s",
            *(channel, why.value, call.entry_ids[0], _NEXT[why]),
        )

    def _fail(self, channel: Channel, entry_id: str, error: str) -> None:
        dead_before = self._consumer.statistics.dead_lettered
        delay_seconds = self._consumer.retry(channel, entry_id, error)
        self._recorder.count(channel, Count.FAILED)
        if delay_seconds is not None:
            self._recorder.count(channel, Count.RETRIED)
        self._recorder.count(channel, Count.DEAD, self._consumer.statistics.dead_lettered - dead_before)

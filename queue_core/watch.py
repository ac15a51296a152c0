"""Beside a worker's handlers, a thread: it renews the lease, and sees to it that a call ends in time."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from queue_core.channels import Channel
from queue_core.errors import QueueError
from queue_core.interruption import Interruption, Why
from queue_core.lease import Lease
from queue_core.stopping import Stop

#: Renewals in the time after which an entry may be taken over: two may fail.
_RENEWALS = 3
#: How long an interrupted handler may take to end, before what it holds is given up over its head.
_PATIENCE_SECONDS = 1.0
#: Longest and shortest time between two looks.
_LONGEST_LOOK_SECONDS, _SHORTEST_LOOK_SECONDS = 0.25, 0.01

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Call:
    """A handler's call that is under way.

    Attributes:
        channel: of its messages.
        entry_ids: its messages.
        deadline: when its time limit is reached, by the monotonic clock; infinite without one.
        limit_seconds: how long after its beginning that is.
        interrupted: why it was interrupted at last, and when; None as long as it was not.
        given_up: why what it held was given up while it went on; None as long as it was not.
    """

    channel: Channel
    entry_ids: list[str]
    deadline: float
    limit_seconds: float
    interrupted: tuple[Why, float] | None = None
    given_up: Why | None = None


class Watch:
    """Watches over what a worker has in hand.

    Args:
        lease: what it has in hand.
        interruption: ends its handlers.
        stop: whether it is to end.
        lease_seconds: time after which an entry may be taken over; renewed three times as often.
        grace_seconds: how long a handler may go on after a stop.
        look_seconds: longest time between two looks.
        taken_over: told what others have taken over.
        give_up: told of a call that cannot be interrupted, and why it was to be; gives up what is in hand.
    """

    def __init__(
        self,
        lease: Lease,
        interruption: Interruption,
        stop: Stop,
        *,
        lease_seconds: float,
        grace_seconds: float,
        look_seconds: float,
        taken_over: Callable[[Channel, list[str]], None],
        give_up: Callable[[Call, Why], None],
    ) -> None:
        self._lease, self._interruption, self._stop = lease, interruption, stop
        self._renew_seconds, self._grace_seconds = lease_seconds / _RENEWALS, grace_seconds
        look_seconds = min(_LONGEST_LOOK_SECONDS, self._renew_seconds / 4, look_seconds)
        self._look_seconds = max(_SHORTEST_LOOK_SECONDS, look_seconds)
        self._taken_over, self._give_up = taken_over, give_up
        self._call: Call | None = None
        self._next_renewal = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """While inside, the thread works."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(self._look_seconds):
                try:
                    self._look()
                except QueueError as trouble:
                    # The worker meets with it too, and says so once; here it is tried again.
                    _log.debug("Nothing could be renewed: %s", trouble)

        thread, process = threading.Thread(target=work, name="lease-renewal", daemon=True), os.getpid()
        thread.start()
        try:
            yield
        finally:
            # A forked child has no such thread, and perhaps a lock that it held for ever.
            if os.getpid() == process:
                over.set()
                # It may be waiting for Redis. What it still renews or gives up then is no longer in hand.
                thread.join(_PATIENCE_SECONDS)

    @contextmanager
    def over(self, call: Call) -> Iterator[None]:
        """While inside, the call is under way."""
        self._call = call
        try:
            yield
        finally:
            self._call = None

    def _look(self) -> None:
        now = time.monotonic()
        if (call := self._call) is not None:
            self._end_in_time(call, now)
        if now >= self._next_renewal:
            for channel, entry_ids in self._lease.renew().items():
                self._taken_over(channel, entry_ids)
            self._next_renewal = now + self._renew_seconds

    def _end_in_time(self, call: Call, now: float) -> None:
        why = self._due(call, now)
        if why is None or call.given_up in (why, Why.STOP):
            return
        if call.interrupted is None or call.interrupted[0] is not why:
            call.interrupted = why, now
            if self._interruption.ask(why, call=call):
                return
        elif now < call.interrupted[1] + _PATIENCE_SECONDS:
            return
        try:
            self._give_up(call, why)
            call.given_up = why
        finally:
            if why is Why.STOP:
                self._stop.insist()

    def _due(self, call: Call, now: float) -> Why | None:
        if self._stop() and now >= self._stop.requested_at + self._grace_seconds:
            return Why.STOP
        return Why.TIME_LIMIT if now >= call.deadline else None

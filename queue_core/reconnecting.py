"""Waiting for Redis, or something else, to come back, for as long as it takes, in two lines of log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from queue_core.errors import QueueError
from queue_core.growing_pauses import GrowingPauses, wait

_log = logging.getLogger(__name__)


class Reconnecting:
    """Growing pauses between tries; says once that something is away, and once that it is back.

    Args:
        what: what is away.
    """

    def __init__(self, what: str = "Redis") -> None:
        self._what = what
        self._since: float | None = None
        self._pauses = GrowingPauses()

    def next_pause_seconds(self, trouble: QueueError) -> float:
        """How long to wait before the next try."""
        if self._since is None:
            self._since = time.monotonic()
            words = str(trouble).partition("\n")[0] or type(trouble).__name__
            _log.warning("Waiting until %s is back: %s", self._what, words)
        return self._pauses.next_seconds()

    def pause(self, trouble: QueueError, give_up: Callable[[], bool]) -> None:
        """Wait before the next try, or until ``give_up`` says True."""
        wait(self.next_pause_seconds(trouble), give_up)

    def over(self) -> None:
        """It is back."""
        if self._since is None:
            return
        what = self._what[0].upper() + self._what[1:]
        _log.warning("%s is back after %.1f s.", what, time.monotonic() - self._since)
        self._since = None
        self._pauses.begin_anew()

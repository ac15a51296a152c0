"""Waiting for Redis, or something else, to come back, for as long as it takes, in two lines of log."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from queue_core.errors import QueueError

#: First and longest pause between two tries.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
#: How soon a stop is noticed.
_SLICE_SECONDS = 0.05

_log = logging.getLogger(__name__)


class Reconnecting:
    """Growing pauses between tries; says once that something is away, and once that it is back.

    Args:
        what: what is away.
    """

    def __init__(self, what: str = "Redis") -> None:
        self._what = what
        self._since: float | None = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._random = random.Random()  # noqa: S311 - spreads tries, keeps no secret

    def next_pause_seconds(self, trouble: QueueError) -> float:
        """How long to wait before the next try."""
        if self._since is None:
            self._since = time.monotonic()
            words = str(trouble).partition("\n")[0] or type(trouble).__name__
            _log.warning("Waiting until %s is back: %s", self._what, words)
        seconds = self._pause_seconds * self._random.uniform(0.5, 1)
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, self._pause_seconds * 2)
        return seconds

    def pause(self, trouble: QueueError, give_up: Callable[[], bool]) -> None:
        """Wait before the next try, or until ``give_up`` says True."""
        until = time.monotonic() + self.next_pause_seconds(trouble)
        while (left := until - time.monotonic()) > 0 and not give_up():
            time.sleep(min(left, _SLICE_SECONDS))

    def over(self) -> None:
        """It is back."""
        if self._since is None:
            return
        what = self._what[0].upper() + self._what[1:]
        _log.warning("%s is back after %.1f s.", what, time.monotonic() - self._since)
        self._since, self._pause_seconds = None, _FIRST_PAUSE_SECONDS

"""Waiting for Redis to come back, for as long as it takes, in two lines of log."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from queue_core.errors import QueueUnavailableError

#: First and longest pause between two tries.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
#: How soon a stop is noticed.
_SLICE_SECONDS = 0.05

_log = logging.getLogger(__name__)


class Reconnecting:
    """Growing pauses between tries; says once that Redis is away, and once that it is back."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._random = random.Random()  # noqa: S311 - spreads tries, keeps no secret

    def pause(self, trouble: QueueUnavailableError, give_up: Callable[[], bool]) -> None:
        """Wait before the next try, or until ``give_up`` says True."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            _log.warning("Waiting until Redis is back: %s", trouble)
        until = now + self._pause_seconds * self._random.uniform(0.5, 1)
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, self._pause_seconds * 2)
        while (left := until - time.monotonic()) > 0 and not give_up():
            time.sleep(min(left, _SLICE_SECONDS))

    def over(self) -> None:
        """Redis answered."""
        if self._since is None:
            return
        _log.warning("Redis is back after %.1f s.", time.monotonic() - self._since)
        self._since, self._pause_seconds = None, _FIRST_PAUSE_SECONDS

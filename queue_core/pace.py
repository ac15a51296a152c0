"""Doing something so many times a second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

_SLICE_SECONDS = 0.1


class Pace:
    """Spreads work evenly from the moment it is made.

    Args:
        per_second: how many; None is as many as can be.
        clock: seconds, that only grow.
        sleep: waits some seconds.

    Raises:
        ValueError: ``per_second`` is not a finite number above 0.
    """

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if per_second is not None and not (per_second > 0 and math.isfinite(per_second)):
            raise ValueError(f"per_second must be a finite number above 0, got {per_second}")
        self._per_second, self._clock, self._sleep = per_second, clock, sleep
        self._started = clock()

    def chunk(self, most: int) -> int:
        """How many to do at once, so that it goes on at least twice a second where the pace allows it."""
        return most if self._per_second is None else max(1, min(most, int(self._per_second / 2)))

    def wait(self, done: int, stop: Callable[[], bool]) -> None:
        """Wait until one may go on after ``done``, or a stop is asked for."""
        if self._per_second is None:
            return
        until = self._started + done / self._per_second
        while (left := until - self._clock()) > 0 and not stop():
            self._sleep(min(left, _SLICE_SECONDS))

"""Pauses between tries of something that is away: each about twice as long as the one before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

#: First and longest pause.
_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 5.0
#: How soon a stop is noticed.
_SLICE_SECONDS = 0.05


class GrowingPauses:
    """How long to wait before each next try, spread so that many do not come at once."""

    def __init__(self) -> None:
        self._seconds = _FIRST_SECONDS
        self._random = random.Random()  # noqa: S311 - spreads tries, keeps no secret

    def next_seconds(self) -> float:
        """How long the next one is."""
        seconds = self._seconds * self._random.uniform(0.5, 1)
        self._seconds = min(_LONGEST_SECONDS, self._seconds * 2)
        return seconds

    def begin_anew(self) -> None:
        """What was away is back: should it go again, the first pause is short."""
        self._seconds = _FIRST_SECONDS


def wait(seconds: float, give_up: Callable[[], bool]) -> bool:
    """Wait so long, or until ``give_up`` says True; returns whether it did."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if give_up():
            return True
        time.sleep(min(left, _SLICE_SECONDS))
    return False

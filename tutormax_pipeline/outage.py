"""Waiting out trouble of the infrastructure: with growing pauses, for a bounded time, in two lines of log."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

from queue_core.errors import AccessDeniedError, QueueUnavailableError
from queue_core.growing_pauses import GrowingPauses, wait
from tutormax_pipeline.store import StoreUnavailableError

_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Outage:
    """Tries again while Redis or the database is away, and gives up when that lasts.

    Args:
        budget_seconds: longest time without success; 0 gives up at once.
        deadline: instant of the monotonic clock up to which is waited at the longest; None is no limit.
        stop: asked while waiting; True gives up.

    Attributes:
        ended: seconds of each outage that is over.
    """

    def __init__(
        self, budget_seconds: float, stop: Callable[[], bool], *, deadline: float | None = None
    ) -> None:
        self.ended: list[float] = []
        self._budget_seconds, self._stop = budget_seconds, stop
        self._deadline = math.inf if deadline is None else deadline
        self._since: float | None = None
        self._pauses = GrowingPauses()

    def through(self, action: Callable[[], _T]) -> _T:
        """Do it, again and again until it ends without trouble: ``action`` begins anew where it was.

        Raises:
            QueueUnavailableError, StoreUnavailableError: it lasted too long, waiting cannot help, or a stop
                was asked for.
        """
        while True:
            try:
                return action()
            except (QueueUnavailableError, StoreUnavailableError) as trouble:
                self._wait(trouble)

    def _wait(self, trouble: Exception) -> None:
        now = time.monotonic()
        since = now if self._since is None else self._since
        left_seconds = min(since + self._budget_seconds, self._deadline) - now
        if isinstance(trouble, AccessDeniedError) or left_seconds <= 0:
            raise trouble
        if self._since is None:
            self._since = since
            _log.warning("Waiting up to %g s: %s", self._budget_seconds, trouble)
        if wait(min(left_seconds, self._pauses.next_seconds()), self._stop):
            raise trouble

    def over(self) -> None:
        """A batch is settled, or nothing is left that would have to be: whatever was away is back."""
        if self._since is None:
            return
        self.ended.append(time.monotonic() - self._since)
        _log.warning("Going on after %.1f s.", self.ended[-1])
        self._since = None
        self._pauses.begin_anew()

"""Asking something that may take long, for a bounded time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class TimedLook(Generic[T]):
    """Asks in a thread of its own, and never in two at once: who comes meanwhile waits for the same answer.

    Args:
        ask: gives the answer.
        seconds: how long to wait for it.
    """

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._lock = threading.Lock()
        self._running: Future[T] | None = None

    @property
    def asking(self) -> bool:
        """Whether an answer is still awaited, by the thread that asks."""
        return self._running is not None and not self._running.done()

    def __call__(self) -> T | None:
        """The answer; None where it did not come in time.

        Raises:
            Exception: what asking raised.
        """
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                threading.Thread(target=self._answer, args=(self._running,), daemon=True).start()
            running = self._running
        try:
            return running.result(self._seconds)
        except TimeoutError:
            if running.done():
                raise
            return None

    def _answer(self, future: Future[T]) -> None:
        try:
            future.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the answer
            future.set_exception(error)

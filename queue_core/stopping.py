"""Ending on SIGTERM and SIGINT after the batch in hand, instead of in the middle of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAME_REQUEST_SECONDS = 1.0


class Stop:
    """Whether a stop was asked for; called, it answers."""

    def __init__(self) -> None:
        self.requested = False
        self.requested_at = 0.0

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self.requested

    def request(self) -> None:
        """Ask for a stop, from any thread; the first time counts."""
        if not self.requested:
            self.requested, self.requested_at = True, time.monotonic()


@contextmanager
def stop_on_signals(stop: Stop | None = None, *, again: Callable[[], None] | None = None) -> Iterator[Stop]:
    """While inside, SIGTERM and SIGINT only set the stop; one more, a second later, acts as it usually does.

    Sooner it is the same request: a terminal and a parent process often send it twice.

    In a thread other than the main one signals stay as they are.

    Args:
        stop: what is set; a new one when not given.
        again: called for that second signal instead of what it usually does, which a third one then does.
    """
    stop = stop or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    usual = {one: signal.getsignal(one) for one in _SIGNALS}

    def restore() -> None:
        for one, handler in usual.items():
            signal.signal(one, handler)

    def ask(number: int, _frame: FrameType | None) -> None:
        if not stop.requested:
            stop.request()
        elif time.monotonic() - stop.requested_at > _SAME_REQUEST_SECONDS:
            restore()
            if again is None:
                signal.raise_signal(number)
            else:
                again()

    for one in _SIGNALS:
        signal.signal(one, ask)
    try:
        yield stop
    finally:
        restore()

"""Ending on SIGTERM and SIGINT after the batch in hand, instead of in the middle of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from queue_core.forking import restored_in_children

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SAME_REQUEST_SECONDS = 1.0


class Stop:
    """Whether a stop was asked for; called, it answers.

    Attributes:
        requested: whether it was.
        requested_at: when, by the monotonic clock.
        number: the signal that asked; None where it was no signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self.requested_at = 0.0
        self.number: int | None = None
        self._insisted = False

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self.requested

    @property
    def insisted(self) -> bool:
        """True once there is nothing left to wait for."""
        return self._insisted

    def request(self, number: int | None = None) -> None:
        """Ask for a stop, from any thread; the first time counts."""
        if not self.requested:
            self.requested, self.requested_at, self.number = True, time.monotonic(), number

    def insist(self) -> None:
        """Have the signal that asked for it do what it usually does; from any thread.

        That happens when the main thread comes back to Python, which a long call of a C extension does not.
        Nothing happens where no signal asked.
        """
        if self.number is not None and hasattr(signal, "pthread_kill"):
            self._insisted = True
            signal.pthread_kill(threading.main_thread().ident or 0, self.number)

    def over(self) -> None:
        """Forget it: what was to stop has ended."""
        self.requested, self.number, self._insisted = False, None, False


@contextmanager
def stop_on_signals(stop: Stop | None = None, *, again: Callable[[], bool] | None = None) -> Iterator[Stop]:
    """While inside, SIGTERM and SIGINT only set the stop; one more, a second later, acts as it usually does.

    Sooner it is the same request: a terminal and a parent process often send it twice.

    In a thread other than the main one, and in a process that was forked inside, signals stay as they are.

    Args:
        stop: what is set; a new one when not given.
        again: called for that second signal; where it returns False the signal does what it usually does,
            as a third one does in any case.
    """
    stop = stop or Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    # None is a handler that was not set from Python, and cannot be restored.
    usual = {one: signal.getsignal(one) or signal.SIG_DFL for one in _SIGNALS}

    def restore() -> None:
        for one, handler in usual.items():
            signal.signal(one, handler)

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.insisted:
            restore()
            signal.raise_signal(number)
        elif not stop.requested:
            stop.request(number)
        elif time.monotonic() - stop.requested_at > _SAME_REQUEST_SECONDS:
            restore()
            if again is None or not again():
                signal.raise_signal(number)

    for one in _SIGNALS:
        signal.signal(one, ask)
    try:
        with restored_in_children(restore):
            yield stop
    finally:
        restore()

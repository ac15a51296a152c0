"""Ending on SIGTERM and SIGINT after the batch in hand, instead of in the middle of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a stop was asked for; called, it answers."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self.requested


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """While inside, SIGTERM and SIGINT only set the stop; a second one acts as it usually does.

    In a thread other than the main one signals stay as they are.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    usual = {one: signal.getsignal(one) for one in _SIGNALS}

    def restore() -> None:
        for one, handler in usual.items():
            signal.signal(one, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.requested = True
        restore()

    for one in _SIGNALS:
        signal.signal(one, ask)
    try:
        yield stop
    finally:
        restore()

"""Ending a handler from outside, in the middle of what it does: possible in the main thread only.

Python runs a signal's handler in the main thread, between two steps of the program, also where that waits
for a socket or sleeps. What is raised there ends the handler. Code that does not return to Python (a long
call of a C extension) or that swallows every exception cannot be ended so.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType
from typing import TypeVar

from queue_core.forking import restored_in_children

_T = TypeVar("_T")

#: Handlers have uses of their own for SIGALRM and SIGUSR1. This one is ignored where nobody listens, so that
#: one which comes late harms nobody. None on a system without it, where nothing can be interrupted.
SIGNAL: signal.Signals | None = getattr(signal, "SIGURG", None) if hasattr(signal, "pthread_kill") else None


class Why(Enum):
    """Why a handler is ended."""

    TIME_LIMIT = "time limit"
    STOP = "stop"


class HandlerInterruption(BaseException):
    """Raised inside a handler that is to end now. Not an ``Exception``, so that handlers let it pass."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


class Interruption:
    """Raises :class:`HandlerInterruption` inside :meth:`run`, and nowhere else.

    Attributes:
        delivered: why it was raised in the last call, whatever the handler made of it; None if it was not.
    """

    def __init__(self) -> None:
        self.delivered: Why | None = None
        self._inside: object = None
        self._asked: tuple[Why, object] | None = None
        self._main = False

    @contextmanager
    def possible(self) -> Iterator[None]:
        """While inside, another thread may ask for it, by a signal; those of others go where they did."""
        if SIGNAL is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        number, usual, self._main = SIGNAL, signal.getsignal(SIGNAL), True

        def restore() -> None:
            self._main = False
            signal.signal(number, usual or signal.SIG_DFL)

        def raise_it(_number: int, frame: FrameType | None) -> None:
            asked, self._asked = self._asked, None
            if asked is not None:
                # Not what has begun since, should that which was meant have ended by itself.
                if asked[1] is self._inside:
                    self.now(asked[0])
            elif callable(usual):
                usual(number, frame)

        signal.signal(number, raise_it)
        try:
            with restored_in_children(restore):
                yield
        finally:
            restore()

    def run(self, action: Callable[[], _T], *, call: object) -> _T:
        """Do it, as the call that is to be named to interrupt it.

        Raises:
            HandlerInterruption: it was.
        """
        self.delivered = None
        try:
            self._inside = call
            return action()
        finally:
            self._inside = None

    def now(self, why: Why) -> bool:
        """Interrupt what runs; to be called from a signal's handler.

        Returns:
            True where nothing runs that had to be; False where it has not ended although it was told to.

        Raises:
            HandlerInterruption: something ran.
        """
        if self._inside is None:
            return True
        # Once: the clean-up that this sets off is not interrupted, unless all is to end.
        if self.delivered is Why.STOP or self.delivered is why:
            return False
        self.delivered = why
        raise HandlerInterruption(why)

    def ask(self, why: Why, *, call: object) -> bool:
        """Have a call interrupted, from another thread; returns whether that is possible at all."""
        if SIGNAL is None or not self._main:
            return False
        self._asked = (why, call)
        signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
        return True

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

_T = TypeVar("_T")

_SIGNAL = signal.SIGALRM


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
    """Raises :class:`HandlerInterruption` inside :meth:`run`, and nowhere else."""

    def __init__(self) -> None:
        self._inside: object = None
        self._asked: tuple[Why, object] | None = None
        self._main = False

    @contextmanager
    def possible(self) -> Iterator[None]:
        """While inside, another thread may ask for it, by SIGALRM; alarms of others go where they did."""
        self._main = threading.current_thread() is threading.main_thread()
        if not self._main:
            yield
            return
        usual = signal.getsignal(_SIGNAL)

        def raise_it(number: int, frame: FrameType | None) -> None:
            asked, self._asked = self._asked, None
            if asked is not None:
                # Not what has begun since, should that which was meant have ended by itself.
                if asked[1] is self._inside:
                    self.now(asked[0])
            elif callable(usual):
                usual(number, frame)
            elif usual is signal.SIG_DFL:
                signal.signal(_SIGNAL, usual)
                signal.raise_signal(_SIGNAL)

        signal.signal(_SIGNAL, raise_it)
        try:
            yield
        finally:
            self._main = False
            signal.signal(_SIGNAL, usual)

    def run(self, action: Callable[[], _T], *, call: object) -> _T:
        """Do it, as the call that is to be named to interrupt it.

        Raises:
            HandlerInterruption: it was.
        """
        try:
            self._inside = call
            return action()
        finally:
            self._inside = None

    def now(self, why: Why) -> None:
        """Interrupt what runs; to be called from a signal's handler.

        Raises:
            HandlerInterruption: something ran.
        """
        if self._inside is not None:
            # Once: the clean-up that this sets off is not interrupted.
            self._inside = None
            raise HandlerInterruption(why)

    def ask(self, why: Why, *, call: object) -> bool:
        """Have a call interrupted, from another thread; returns whether that is possible at all."""
        if not self._main:
            return False
        self._asked = (why, call)
        signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)
        return True

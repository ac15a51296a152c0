"""A process that is forked while this one takes signals for itself has them as they usually are.

A child inherits the functions that this process has set, and would do what they do: not end on a SIGTERM,
with which ``multiprocessing`` ends it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_restores: list[Callable[[], None]] = []
_of_thread = threading.local()


@contextmanager
def restored_in_children(restore: Callable[[], None]) -> Iterator[None]:
    """While inside, a forked child begins with ``restore``, the innermost first."""
    _restores.append(restore)
    try:
        yield
    finally:
        if restore in _restores:
            _restores.remove(restore)


def _before() -> None:
    # Python forgets a signal that comes to a child before it has begun; held back it comes afterwards.
    if _restores:
        _of_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))


def _in_child() -> None:
    while _restores:
        _restores.pop()()
    _after()


def _after() -> None:
    mask, _of_thread.mask = getattr(_of_thread, "mask", None), None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)

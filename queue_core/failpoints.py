"""Named places before and after each side effect, at which a test ends the process to see what is left.

    with around("acknowledge"):
        redis.xack(...)

Nothing is armed in production; passing a place then costs one comparison. A side effect that is not
inside :func:`around` fails a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

#: Exit code of a process that was ended at a failpoint.
EXIT_CODE = 86

_armed: dict[str, int] | None = None
_passed: list[str] | None = None


def arm(place: str, passes: int = 1) -> None:
    """End this process, without any clean-up, when it comes to ``place`` for the ``passes``-th time.

    Args:
        place: ``<side effect>:before`` or ``<side effect>:after``.
        passes: 1 for the first time.
    """
    global _armed  # noqa: PLW0603 - one process, one set of failpoints
    _armed = {**(_armed or {}), place: passes}


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The places that are passed inside the block, in order."""
    global _passed  # noqa: PLW0603
    places: list[str] = []
    _passed = places
    try:
        yield places
    finally:
        _passed = None


@contextmanager
def around(effect: str) -> Iterator[None]:
    """The failpoints of one side effect; the second one only where it succeeded."""
    passing(f"{effect}:before")
    yield
    passing(f"{effect}:after")


def passing(place: str) -> None:
    """A failpoint by itself."""
    if _passed is not None:
        _passed.append(place)
    if _armed is None or place not in _armed:
        return
    _armed[place] -= 1
    if _armed[place] == 0:
        os._exit(EXIT_CODE)

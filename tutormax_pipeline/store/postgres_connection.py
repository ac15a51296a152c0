"""A connection to PostgreSQL that does not wait for ever for a server that is frozen."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

_T = TypeVar("_T")

#: How often it is looked whether the time is over, in seconds; as often as psycopg looks for Ctrl-C.
_LOOK_SECONDS = 0.1


class PatientConnection(psycopg.Connection[Any]):
    """A connection whose answers have to come within a time.

    The server's own limits end what takes too long there. This one is for a server, or a network, that says
    nothing at all.

    Attributes:
        patience_seconds: longest silence.
    """

    patience_seconds: float = math.inf

    def wait(self, gen: Any, interval: float = _LOOK_SECONDS, timeout: float | None = None) -> Any:
        """As psycopg waits, but for a bounded time.

        Raises:
            psycopg.OperationalError: no answer came, and the connection is closed.
        """
        more = {} if timeout is None else {"timeout": timeout}
        return super().wait(self._bounded(gen), interval, **more)

    def _bounded(self, steps: Generator[Any, Any, _T]) -> Generator[Any, Any, _T]:
        deadline = time.monotonic() + self.patience_seconds
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {self.patience_seconds:g} s")
                wanted = steps.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
